"""The first CUDA device, through NVIDIA's driver: its name, a stream, and times measured on the GPU.

The driver's library is enough for this, so the code needs no CUDA toolkit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from fmnist_edge.errors import UnavailableError

__all__ = ["Cuda"]

DRIVER = "libcuda.so.1"
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class Cuda:
    """The first CUDA device. Raises UnavailableError when there is no driver or no GPU."""

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
        # The primary context: the CUDA runtime and all libraries above it use it.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)
        stream, self._start, self._end = (ctypes.c_void_p() for _ in range(3))
        self._call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
        for event in (self._start, self._end):
            self._call("cuEventCreate", ctypes.byref(event), ctypes.c_uint(0))
        self._stream = stream

    @property
    def stream(self) -> int:
        """Address of a stream that synchronises with the default stream."""
        return self._stream.value or 0

    def measure_ns(self, work: Callable[[], object]) -> int:
        """Nanoseconds on the GPU's clock from the start to the end of the work that `work` puts on the stream."""
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
