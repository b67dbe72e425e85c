"""Estimate latency on boards that are not at hand: cycles by LLVM's models of their cores, times a board's constant."""
