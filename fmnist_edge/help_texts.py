"""What `--help` explains beside the options themselves."""

from __future__ import annotations

__all__ = [
    "ARCHIVE",
    "EMULATION",
    "ENGINE_MATRIX",
    "ESTIMATES",
    "EXIT_CODES",
    "FROM_MANIFEST",
    "GOLDEN",
    "LAYER_BY_LAYER",
    "ON_A_DEVICE",
    "PROTOCOL",
    "RATIOS",
    "REPORT",
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
FROM_MANIFEST = (
    "From the manifest alone, into a temporary folder; model and calibration images must have its SHA-256. Prints "
    "`identical`, or the bytes, sections and tensors that differ and each package whose version changed; exit code 1 "
    "if anything differs."
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
ON_A_DEVICE = (
    "With --on, all of it happens on a device by ssh: your config, keys and known hosts, no password asked. The run "
    "there goes on when the link breaks or this command ends; the same command picks it up."
)
ARCHIVE = (
    "One small archive, without TensorFlow: on a Raspberry Pi with its 64-bit system, or any machine with Python 3.9 "
    "or later, it is `tar x`, one line to install and one to run, both in its README.txt; results/ then has a file "
    "that `compare` reads. The same job gives the same bytes. `bench --on user@host` does all of that."
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
    "has only the rows that fit (of run, device, model, precision, format, engine, threads, batch, validity)."
)
EMULATION = (
    "The aarch64 wheels of LiteRT and ONNX Runtime under QEMU's user mode, each core with its own instruction set: the "
    "same answers as here (exit code 1 if not), and instructions of one inference, which repeat to 0.1 %. Never "
    "latency: an emulator has none to tell. Needs Debian 12 with qemu-user and gcc, a network the first time, no root. "
    "What --out has already, of the same file and as many images, is not done again."
)
ESTIMATES = (
    "Emulated instructions through LLVM's model of the core, times one constant a board that is fitted on ncnn's "
    "published figures; always with ≈ and how far it may be off. Uses what `emulate` left in benchmarks/emulated, and "
    "needs no emulator itself. Where it has nothing it says `unavailable`, and why."
)
