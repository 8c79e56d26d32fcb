"""How a tagger learns: posts to learn from, steps, teachers, and the choice by validation."""
