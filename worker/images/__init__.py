"""A post's image: fetched from strangers, cached, encoded once."""
