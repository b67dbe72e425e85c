"""The child process: time the ops of a file in one engine, once. A fresh process for each round, as in `bench`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.loop import prepared, without_gc
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES

__all__ = ["profile_onnxruntime", "profile_prefixes"]

WARM_UP = 10
LEAST, MOST = 20, 100  # calls; the samples are kept, so there must not be too many
SECONDS = 0.05


def profile_prefixes(request: JsonObject, progress: Callable[[object], object]) -> JsonObject:
    """Time the files 0.tflite, 1.tflite and so on, in this order. Returns the version.

    request: "artifact", "engine", "threads"; "images", a .npy file; "prefixes", the folder of the files, and "count",
    their number; "out", the file that gets {"samples": a list of ns for each}.
    """
    tensor, version = input_of(request)
    samples: list[list[int]] = []
    for number in range(request["count"]):
        progress(number)
        interpreter = interpreter_of(Path(request["prefixes"], f"{number}.tflite"), request, tensor)
        samples.append(timed(interpreter.invoke))
        del interpreter
    Path(request["out"]).write_text(json.dumps({"samples": samples}))
    return {"version": version}


def interpreter_of(path: Path, request: JsonObject, tensor: np.ndarray) -> Any:
    """LiteRT's Interpreter as the engine makes it, with its input set. The engine itself wants exactly one output."""
    from fmnist_edge.runtime.engines.litert import PROVIDERS, provider
    from fmnist_edge.runtime.engines.native_output import without_log

    settings = ENGINES[request["engine"]].settings
    module, _ = provider(settings.get("packages", tuple(PROVIDERS)))
    chosen = {}
    if "kernels" in settings:
        chosen["experimental_op_resolver_type"] = module.OpResolverType[settings["kernels"]]
    with without_log():
        interpreter = module.Interpreter(model_content=path.read_bytes(), num_threads=request["threads"], **chosen)
        details = interpreter.get_input_details()[0]
        if tuple(details["shape"]) != tensor.shape:
            interpreter.resize_tensor_input(details["index"], tensor.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], tensor)
    return interpreter


def profile_onnxruntime(request: JsonObject, progress: Callable[[object], object]) -> JsonObject:
    """Run with ONNX Runtime's profiler; "out" gets {"ops": [[name, type, [µs of each call]]], "whole": [ns]}, where
    "whole" is timed without the profiler. Returns the version.

    request: as for `profile_prefixes`, with "log", the start of a file name, in place of "prefixes" and "count".
    """
    tensor, version = input_of(request)
    settings = ENGINES[request["engine"]].settings
    plain, name = session_of(request, settings, None)
    whole = timed(lambda: plain.run(None, {name: tensor}))
    session, name = session_of(request, settings, request["log"])
    timed(lambda: session.run(None, {name: tensor}), warm_up=0)
    events = json.loads(Path(session.end_profiling()).read_text())
    Path(request["out"]).write_text(json.dumps({"ops": ops_of(events), "whole": whole}))
    return {"version": version}


def input_of(request: JsonObject) -> tuple[np.ndarray, str]:
    """(the engine's input tensor, name and version of the engine)."""
    images = np.load(request["images"], allow_pickle=False)
    classifier = Classifier.load(request["artifact"], threads=request["threads"], engine=request["engine"])
    with classifier:
        return prepared(classifier, images), classifier.engine.version


def session_of(request: JsonObject, settings: Mapping[str, Any], log: str | None) -> tuple[Any, str]:
    """(a session, the name of its input); `log`: start of the file name of a profile."""
    from fmnist_edge.runtime.engines.onnx_session import SILENT, import_onnxruntime

    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    level = settings.get("level", "ORT_ENABLE_ALL")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.__members__[level]
    options.intra_op_num_threads = request["threads"]
    if log is not None:
        options.enable_profiling, options.profile_file_prefix = True, log
    content = Path(request["artifact"]).read_bytes()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session, session.get_inputs()[0].name


def ops_of(events: Sequence[JsonObject]) -> list[list[object]]:
    """[name, type, µs of each call but the first WARM_UP] of each node, in the order in which they ran."""
    found: dict[str, tuple[str, list[int]]] = {}
    for event in events:
        suffix = "_kernel_time"
        if event.get("cat") == "Node" and event["name"].endswith(suffix):
            name = event["name"][: -len(suffix)]
            found.setdefault(name, (event["args"]["op_name"], []))[1].append(event["dur"])
    return [[name, kind, durations[WARM_UP:]] for name, (kind, durations) in found.items()]


def timed(call: Callable[[], object], warm_up: int = WARM_UP) -> list[int]:
    """ns of each call, for SECONDS, at least LEAST and at most MOST calls."""
    for _ in range(warm_up):
        call()
    samples: list[int] = []
    with without_gc():
        end = perf_counter_ns() + int(SECONDS * 1e9)
        while len(samples) < MOST and (len(samples) < LEAST or perf_counter_ns() < end):
            start = perf_counter_ns()
            call()
            samples.append(perf_counter_ns() - start)
    return samples
