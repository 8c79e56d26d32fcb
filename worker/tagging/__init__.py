"""From posts to answers: the pipeline, the model at work, its reloading and its shadow."""
