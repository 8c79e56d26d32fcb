"""Files and folders that are replaced as a whole or not at all."""
