"""Measure latency on this machine: plan -> suite -> loop (one child process per cell and round) -> results.

A cell is one combination of artifact, engine, number of threads and batch size.
"""
