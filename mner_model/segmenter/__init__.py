"""Hashtags into words: what finds them, and what that is trained by."""
