"""Looking at what is on the topics and how workers fare, by people at a terminal."""
