"""What `mner_model.hashtags` is made of and trained by: words of hashtags, how likely they are, and the search."""
