"""What people watch at a terminal: what is on the topics, and how workers fare."""
