"""Results as `fmnist-edge bench` leaves them, made by hand: what the tests of pure functions judge and compare."""

from __future__ import annotations

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.series import encode
from fmnist_edge.benchmark.suite import add_summaries
from fmnist_edge.benchmark.validity import judge

PLAN = {
    "name": "mine", "rounds": 5, "seconds": 5.0, "end_to_end_seconds": 5.0, "min_queries": 1024, "warm_up_runs": 10,
    "warm_up_seconds": 0.5, "threads": [1], "headline": "p50", "batches": [1], "cool_down_seconds": 0,
    "precision": None, "budget_seconds": None,
}  # fmt: skip
MACHINE = {
    "device": "a-board", "architecture": "aarch64", "cpu": "ARM Cortex-A72", "cpu_flags": ["asimd"], "logical_cores": 4,
    "affinity_cores": 4, "cpu_quota_cores": None, "governor": "performance", "frequency_driver": "cpufreq-dt",
    "kernel": "6.1", "python": "CPython 3.11.2", "hypervisor": None,
}  # fmt: skip


def state(**changes):
    return {
        "time": "2026-01-02T03:04:05+00:00", "load_average": [0.0, 0.0, 0.0], "frequency_mhz": [1500.0] * 4,
        "temperature_c": 50.0, "throttled": 0, "throttle_count": 0, "governor": "performance", "on_battery": False,
        "memory_available_bytes": 10**9, "gpus": None, **changes,
    }  # fmt: skip


def during(**changes):
    return {
        "seconds": 4.0, "own_cpu_seconds": 3.9, "other_cores": 0.01, "steal_cores": 0.0, "frequency_mhz": [1500.0] * 4,
        "temperature_c": [50.0] * 4, "throttled": 0, "throttle_count": 0, "gpu": None, **changes,
    }  # fmt: skip


def series_of(windows, elapsed_s=1.0):
    return {
        "windows": [list(encode(window)) for window in windows], "noise": None, "calls_per_sample": 1,
        "elapsed_ns": int(elapsed_s * 1e9), "cpu_ns": 1, "voluntary_switches": 0, "involuntary_switches": 0,
    }  # fmt: skip


def round_of(number, windows, **changes):
    return {
        "round": number, "cold_load_ns": 9_000_000 + number, "load_ns": 2_000_000 + number, "first_ns": 50_000 + number,
        "first_answer_ns": None, "warm_up": {"runs": 10, "seconds": 0.5},
        "engine": series_of(windows), "end_to_end": series_of(windows), "device": None, "during": during(**changes),
    }  # fmt: skip


def steady(us=100, rounds=5, **changes):
    """Rounds of two windows around `us` microseconds, 210 samples each."""
    window = [us * 1000 + step for step in range(105)]
    return [round_of(number, [window, window], **changes) for number in range(rounds)]


def cell(**changes):
    return {
        "artifact": "linear/float32.onnx", "side": None, "pair": None, "sha256": "ab", "size_bytes": 31_400,
        "model": "linear", "format": "onnx", "precision": "float32", "target": "cpu", "engine": "onnxruntime",
        "engine_version": "onnxruntime 1.0", "threads": 1, "batch": 1, "status": "ok", "reason": None,
        "images": "given", "accuracy": None, "complexity": None,
        "memory": {"baseline_rss_bytes": 30_000_000, "peak_rss_bytes": 50_000_000},
        "placement": None, "parity": None, "browser": None,
        "rounds": steady(), "summary": None, "verdict": None, **changes,
    }  # fmt: skip


def result(*cells, plan=None, machine=None, **changes):
    """A result with summaries and verdicts derived."""
    made = {
        "schema": results.SCHEMA, "created": "2026-01-02T03:04:05+00:00", "finished": "2026-01-02T03:14:05+00:00",
        "interrupted": False, "sessions": ["2026-01-02T03:04:05+00:00"], "plan": {**PLAN, **(plan or {})}, "seed": 0,
        "images": {"count": 64, "shape": [28, 28], "sha256": "cd"}, "machine": {**MACHINE, **(machine or {})},
        "calibration": None, "before": state(), "idle_cores": 0.0, "after": state(), "verdict": None,
        "cells": list(cells) or [cell()], **changes,
    }  # fmt: skip
    add_summaries(made)
    made["verdict"] = judge(made)
    return made
