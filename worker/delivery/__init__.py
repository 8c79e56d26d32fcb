"""Posts in, answers out, at least once: whole fetches, confirmed answers, the contiguous prefix committed."""
