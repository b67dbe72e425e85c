"""Emulate 64-bit Arm cores: run the aarch64 wheels in QEMU's user mode. Gives scores and instructions, no latency."""
