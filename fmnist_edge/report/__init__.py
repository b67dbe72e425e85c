"""Results -> pages for people to read."""
