"""What travels on the topics, and how it is described to others."""
