"""The engine matrix: run every artifact in every engine that supports it, and compare the results."""
