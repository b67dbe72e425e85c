"""64-bit Arm cores without one: the aarch64 wheels under QEMU's user mode. Answers and instructions, never latency."""
