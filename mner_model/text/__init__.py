"""A post's text for the model: tokens, pieces, word numbers and tags."""
