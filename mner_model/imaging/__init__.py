"""Images as numbers: bytes to pixels, pixels to a vector, and the words of a classifier's labels."""
