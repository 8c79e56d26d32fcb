"""What `mner_model.train` is made of: posts to learn from, steps, states, and teachers."""
