"""Boards that are not at hand: emulation of their cores, and estimates of their latency."""
