"""Reads posts from Kafka, tags them, publishes what it found."""
