"""The demo: broker, Redis, worker and a feeder of sample posts on one machine, from one command."""
