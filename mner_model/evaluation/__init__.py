"""How well a tagger's mentions agree with the gold."""
