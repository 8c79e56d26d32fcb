"""Posts and records in JSON: a post as it comes, its record as it goes."""
