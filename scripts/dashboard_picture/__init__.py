"""Draws the panels of the Grafana dashboard from what Prometheus answers; for `draw_dashboard.py`."""
