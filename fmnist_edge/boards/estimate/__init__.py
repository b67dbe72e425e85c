"""Latency on boards that are not at hand: cycles by LLVM's models of their cores, and one fitted constant a board."""
