"""The tagger's layers: from a batch's numbers to tags."""
