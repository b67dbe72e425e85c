"""Boards that are not at hand: emulated cores, and latency that is estimated."""
