"""`mner-worker top`: what the dashboard shows, live in a terminal, from the workers' /metrics pages alone."""
