"""At least once: whole fetches in, answers published and confirmed, the contiguous prefix committed."""
