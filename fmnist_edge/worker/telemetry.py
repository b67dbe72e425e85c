"""Turn off the telemetry of ONNX Runtime 1.32 and later, in this process and in the processes that it starts.

Telemetry writes a device id below `~/.cache/Microsoft`, starts a thread in each process, and makes forked children hang
when they exit. ONNX Runtime reads the variable when it is imported, and later changes have no effect.
`ORT_TELEMETRY_DISABLED` and `onnxruntime.disable_telemetry_events()` turn none of this off.
"""

from __future__ import annotations

import os

__all__ = ["VARIABLES", "turn_off"]

VARIABLES = {"ORT_DISABLE_TELEMETRY": "1"}


def turn_off() -> None:
    """Set the variables of this process. Call it before the first import of onnxruntime."""
    os.environ.update(VARIABLES)
