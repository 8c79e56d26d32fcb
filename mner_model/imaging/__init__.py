"""What `mner_model.images` and `mner_model.image_encoder` are made of, and what images say in words."""
