"""A post as it comes and its record as it goes, in JSON."""
