"""What became dead letters: read, listed, shown, sent again."""
