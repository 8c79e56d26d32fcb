"""A trained tagger on disk: its files, and what it was made with."""
