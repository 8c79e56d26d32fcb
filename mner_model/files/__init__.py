"""Files replaced as a whole or not at all: single ones, and whole folders."""
