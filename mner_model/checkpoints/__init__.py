"""A trained tagger on disk, and what it was made with."""
