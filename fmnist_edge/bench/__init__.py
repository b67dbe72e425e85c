"""Latency on this machine: plan -> suite -> loop (a child process per cell and round) -> results.

A cell is one artifact on one engine with one number of threads and one batch size.
"""
