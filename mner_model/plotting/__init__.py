"""Pictures for people: attention over tokens, learning curves."""
