"""Draws the rooms of both packages, what uses what, and the way of one post; for `draw_architecture.py`."""
