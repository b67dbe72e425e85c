"""The first CUDA device, by NVIDIA's driver: its name, a stream, and how long that was busy.

The driver's own library has all of it, so no version of the CUDA toolkit is tied to this file.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from fmnist_edge.errors import UnavailableError

__all__ = ["Cuda"]

DRIVER = "libcuda.so.1"
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class Cuda:
    """Raises UnavailableError where there is no driver or no GPU."""

    def __init__(self) -> None:
        try:
            self._driver = ctypes.CDLL(DRIVER)
        except OSError:
            raise UnavailableError(f"no NVIDIA driver on this machine ({DRIVER} is missing)") from None
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", ctypes.c_uint(0))
        self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
        self.name = name.value.decode(errors="replace")
        # The context that the CUDA runtime, and so every library above it, uses.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        stream, self._start, self._end = (ctypes.c_void_p() for _ in range(3))
        self._call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
        for event in (self._start, self._end):
            self._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        self._stream = stream

    @property
    def stream(self) -> int:
        """Address of a stream that waits for the default one, and it for this."""
        return self._stream.value or 0

    def timed(self, work: Callable[[], object]) -> int:
        """Nanoseconds from the first to the last of what `work` gives to the stream, by the device's own clock."""
        milliseconds = ctypes.c_float()
        self._call("cuEventRecord", self._start, self._stream)
        work()
        self._call("cuEventRecord", self._end, self._stream)
        self._call("cuEventSynchronize", self._end)
        self._call("cuEventElapsedTime", ctypes.byref(milliseconds), self._start, self._end)
        return round(milliseconds.value * 1e6)

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code == NO_DEVICE:
            raise UnavailableError("the NVIDIA driver finds no GPU (CUDA error 100)")
        if code:
            raise UnavailableError(f"the NVIDIA driver refuses {name} (CUDA error {code})")
