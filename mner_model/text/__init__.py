"""A post's text as tokens, pieces, word numbers and tags."""
