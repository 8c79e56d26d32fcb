"""What the worker says of itself: metrics, health, logs, traces."""
