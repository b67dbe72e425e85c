"""A C model as WebAssembly: two modules, one of which uses SIMD, and the weights that both of them read."""

from __future__ import annotations

import numpy as np

from fmnist_edge.exporters.c.files import fill
from fmnist_edge.exporters.c.image import takes_any_size
from fmnist_edge.exporters.c.program import AVX2
from fmnist_edge.exporters.c.source import C_TYPES, CModel
from fmnist_edge.exporters.web.compiler import BUILDS, Compiler
from fmnist_edge.exporters.web.files import template

__all__ = ["WEIGHTS", "modules"]

WEIGHTS = "weights.bin"
ALIGNMENT = 64  # bytes, of each array
# Where the weights will be: in a file of its own, so that no compiler takes them for the zeros that they begin as.
MEMORY = f"unsigned char fe_weights[%d] __attribute__((aligned({ALIGNMENT})));\n"


def modules(model: CModel, compiler: Compiler) -> dict[str, bytes]:
    """File name -> content: `model.wasm`, `model.simd.wasm` and `weights.bin`."""
    program = model.program
    arrays = program.arrays_but(AVX2)
    places, weights = packed(arrays)
    header = [
        f"#define {name} ((const {C_TYPES[arrays[name].dtype.name]} *)(fe_weights + {place}))"
        for name, place in places.items()
    ]
    name = model.name
    sources = {
        file: text for file, text in model.files().items() if file in (f"{name}.h", f"{name}.c", f"{name}_image.c")
    }
    sources |= {
        f"{name}_weights.h": "\n".join(["#include <stdint.h>", "extern unsigned char fe_weights[];", *header, ""]),
        "string.h": template("string.h"),
        "weights.c": MEMORY % len(weights),
        "web.c": fill(
            template("web.c"),
            NAME=name.upper(),
            name=name,
            weights_bytes=len(weights),
            images=int(takes_any_size(model.contract)),
        ),
    }
    built = {file: compiler.build(sources, file) for file in BUILDS}
    return {**built, WEIGHTS: weights}


def packed(arrays: dict[str, np.ndarray]) -> tuple[dict[str, int], bytes]:
    """Array -> where it begins, and the bytes of all of them, little-endian."""
    places, content = {}, bytearray()
    for name, values in arrays.items():
        places[name] = len(content)
        content += values.astype(values.dtype.newbyteorder("<")).tobytes()
        content += bytes(-len(content) % ALIGNMENT)
    return places, bytes(content)
