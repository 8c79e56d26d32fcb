"""What an image shows, in words: captions, by a captioner or by a classifier's labels."""
