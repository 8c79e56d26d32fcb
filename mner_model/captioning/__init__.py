"""What `mner_model.captioner` is made of and trained by."""
