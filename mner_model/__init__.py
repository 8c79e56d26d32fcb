"""The tagger as a library: text and image in, named entities out. Knows nothing of streams."""
