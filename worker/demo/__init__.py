"""A first run from one command: broker, Redis, worker and a feeder of sample posts on one machine."""
