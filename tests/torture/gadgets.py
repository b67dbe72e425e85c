"""Config objects that Keras ran, or that trusting loaders would run. Each, if it were run, would make the file CANARY.

The CVE numbers are those of the weakness that a gadget uses.
"""

from __future__ import annotations

import pickle
from functools import cache
from typing import Any

__all__ = ["CANARY", "gadgets"]

CANARY = "/tmp/fmnist-edge-torture-canary"


class Pickled:
    def __reduce__(self) -> Any:
        return open, (CANARY, "w")


def layer(class_name: str, module: Any = "keras.layers", registered: Any = None, **config: Any) -> dict[str, Any]:
    settings = {"name": "bad", **config}
    return {"module": module, "class_name": class_name, "config": settings, "registered_name": registered}


def function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@cache
def gadgets() -> dict[str, dict[str, Any]]:
    from keras.src.utils import python_utils

    dumped, defaults, closure = python_utils.func_dump(eval(f"lambda x: (open({CANARY!r}, 'w').close(), x)[1]"))
    bomb = {"class_name": "__lambda__", "config": {"code": dumped, "defaults": defaults, "closure": closure}}
    wrapped = {"class_name": "__lambda__", "config": {"value": [dumped, defaults, closure]}}
    fetched = {"origin": f"file://{CANARY}-source", "fname": CANARY, "cache_dir": "/tmp", "extract": True}
    return {
        "Lambda (CVE-2024-3660)": layer("Lambda", function=bomb),
        "Lambda of Keras 2 (CVE-2025-9905)": layer(
            "Lambda", function=[dumped, defaults, closure], function_type="lambda"
        ),
        "Lambda as an activation": layer("Activation", activation=wrapped),
        "Lambda as an initializer": layer("PReLU", alpha_initializer=wrapped),
        "Lambda in a wrapper": layer("TimeDistributed", layer=layer("Lambda", function=bomb)),
        "any function by module (CVE-2025-1550)": layer("system", module="os", command=f"touch {CANARY}"),
        "subprocess (CVE-2025-1550)": layer("Popen", module="subprocess", args=["touch", CANARY]),
        "builtins (CVE-2025-1550)": layer("eval", module="builtins", source=f"open({CANARY!r}, 'w')"),
        "get_file (CVE-2025-8747, CVE-2025-12060)": layer("get_file", module="keras.utils", **fetched),
        "get_file as an activation": layer("Activation", activation=function("keras.utils", "get_file")),
        "unsafe mode switched on (CVE-2025-9906)": layer("enable_unsafe_deserialization", module="keras.config"),
        "StringLookup reads files (CVE-2025-12058)": layer("StringLookup", vocabulary="/etc/passwd"),
        "IntegerLookup reads files (CVE-2025-12058)": layer("IntegerLookup", vocabulary="/etc/passwd"),
        "TextVectorization reads files": layer("TextVectorization", vocabulary="/etc/passwd"),
        "TorchModuleWrapper unpickles (CVE-2025-49655)": layer(
            "TorchModuleWrapper", module=pickle.dumps(Pickled()).decode("latin-1")
        ),
        "TFSMLayer loads a graph": layer("TFSMLayer", filepath=CANARY),
        "JaxLayer": layer("JaxLayer", call_fn=wrapped),
        "class relabelled": layer("Conv2D", module="os"),
        "class registered": layer("Flatten", registered="evil>Layer"),
        "exec as an activation": layer("Activation", activation=function("builtins", "exec")),
        "operation that calls": layer("Map", module="keras.src.ops.core"),
        "operation that calls while": layer("WhileLoop", module="keras.src.ops.core", cond=wrapped, body=wrapped),
        "RNN cell": layer("RNN", cell=layer("Popen", module="subprocess", args=["touch", CANARY])),
        "compile settings": {
            **layer("Sequential", module="keras", layers=[layer("Lambda", function=bomb)]),
            "compile_config": {"loss": wrapped},
        },
        "build settings": {**layer("Flatten"), "build_config": {"input_shape": wrapped}},
        "no layer at all": {"module": ["os"], "class_name": {"os": 1}, "config": None},
    }
