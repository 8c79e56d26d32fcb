"""Images, fetched and cached: from strangers, each encoded once."""
