"""Names for types that many modules share and that no library declares."""

from __future__ import annotations

from typing import Any

__all__ = ["JsonObject", "Tensor"]

JsonObject = dict[str, Any]  # what json.load returns for {...}; whoever reads it checks the values
Tensor = Any  # a tensor of Keras or TensorFlow, eager or symbolic; neither package ships types
