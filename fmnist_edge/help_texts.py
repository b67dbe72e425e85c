"""What `--help` explains beside the options themselves."""

from __future__ import annotations

__all__ = [
    "ENGINE_MATRIX",
    "EXIT_CODES",
    "GOLDEN",
    "LAYER_BY_LAYER",
    "PROTOCOL",
    "RATIOS",
    "STATISTICS",
]

EXIT_CODES = (
    "exit codes: 0 done; 1 a gate failed; 2 bad input or file; 3 something to install or fetch first; "
    "70 our bug; 130 interrupted"
)
STATISTICS = (
    "The verdict holds Tango's 95 % interval of the accuracy difference against the precision's margin (float 0.1 pp, "
    "integer 0.5 pp); `inferior` fails, `inconclusive` needs more images. McNemar's exact p: equally accurate? "
    "Flips by class, confidence drift and calibration error (ECE) are in the JSON report."
)
ENGINE_MATRIX = (
    "Each artifact runs in each engine that claims its format, a process per cell, and is compared with its default "
    "engine (litert, onnxruntime). The top class must be the same on 99.9 % of the images, 99.99 % for floats. "
    "An engine that refuses a file says why in the table; one that crashes or stalls fails, like a missed gate."
)
GOLDEN = (
    "An artifact's manifest carries some images with the scores they had at export. Each must have the same here, "
    "within the tolerance that engines which round differently need; exit code 1 if one has not."
)
LAYER_BY_LAYER = (
    "Every layer's output in the file is compared with the Keras model's. SQNR: signal to quantisation noise, in dB; "
    "saturated: integers at their type's limit, unless that stands for zero; own SQNR: against the same layer in float "
    "on the same inputs; noise: what the layer's own error makes of the noise at the model's output; saved: how much "
    "of all that noise goes when the layer is kept in float. Sorted by noise; a plot in graph order beside the JSON."
)

PROTOCOL = (
    "Each cell (artifact, engine, threads, batch) runs in a fresh process a round, rounds interleaved. Percentiles are "
    "of all samples, which the gzipped JSON keeps; p99 takes 662 of them. A run is VALID, or INVALID for other load, "
    "steal time, a change of frequency, throttling, battery, a spread too wide or too few samples. `% of limit`: of "
    "what the machine's measured float32 peak and memory speed allow. With --target gpu each backend must first answer "
    "as the CPU does; `partial`: some ops ran on the CPU; a CPU in a GPU's place is named and in no table."
)
RATIOS = (
    "B's p50 and p90 divided by A's, with 95 % bootstrap intervals over rounds and seconds; `slower` and `faster` "
    "where the interval leaves 1 out."
)
REPORT = (
    "Reads results of `bench`, prints them, and writes the same three times into reports/: one HTML page with charts "
    "and filters, which needs no network; Markdown; JSON. `thr`: threads; `% limit`: of what the machine's measured "
    "float32 peak and memory speed allow; p99 takes 662 samples. The Pareto front is of VALID cells where there are "
    "any. With --readme FILE, every block of FILE between `<!-- report:NAME -->` and `<!-- /report -->` is written "
    "anew; NAME is runs, latency, pareto, ratios or devices, and `<!-- report:latency engine=litert threads=1 -->` "
    "has only the rows that fit."
)
