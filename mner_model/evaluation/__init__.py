"""How well mentions agree with the gold: F1, in both readings of it."""
