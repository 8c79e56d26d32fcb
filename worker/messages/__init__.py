"""What travels on the topics: the messages, and how they are described to others."""
