"""Posts with gold tags, read from files."""
