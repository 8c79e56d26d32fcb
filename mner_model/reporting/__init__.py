"""What presets scored: trained and measured by `mner-model report`, kept, and shown."""
