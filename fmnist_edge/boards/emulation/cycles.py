"""Estimate the cycles of a profile: llvm-mca simulates its hot blocks, weighted by how often they ran.

llvm-mca simulates a block in a loop on LLVM's scheduling model of a core. Every load is a first-level cache hit and
every branch is predicted. The constant of a board accounts for the difference from reality.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import UnavailableError

__all__ = ["cycles_of", "version"]

MIN_COVERED = 0.99  # share of executed instructions in simulated blocks; the others are assumed to be similar
ITERATIONS = 50
TRIPLE = "aarch64-linux-gnu"
FEATURES = "+v8.2a,+fullfp16,+dotprod,+lse,+rdm,+crc"  # all features: the code was chosen when it ran
INSTRUCTION = 8  # hexadecimal digits
NOP = "nop"
REFUSED = re.compile(r"^note: instruction:(.*)$", re.MULTILINE)
CALL = re.compile(r"^(?:blr?|ret)\b.*")


def cycles_of(profile: Mapping[str, int], scheduling: str) -> JsonObject:
    """Cycles of a profile on the scheduling model `scheduling`.

    Returns "cycles" of the whole profile, "scheduling" (model and llvm-mca version), and "share" of instructions that
    were simulated. Raises UnavailableError without llvm-mca and llvm-mc.
    """
    weights = Counter({code: count * len(code) // INSTRUCTION for code, count in profile.items()})
    total, hot, covered = sum(weights.values()), [], 0
    for code, weight in weights.most_common():
        if covered >= MIN_COVERED * total:
            break
        hot.append(code)
        covered += weight
    each = block_cycles(tuple(hot), scheduling)
    simulated = sum(profile[code] * cycles for code, cycles in zip(hot, each, strict=True))
    return {
        "cycles": simulated * total / covered,
        "scheduling": f"{scheduling}, llvm-mca {version()}",
        "share": covered / total,
    }


@cache
def version() -> str:
    result = run([program("llvm-mca"), "--version"], "")
    found = re.search(r"LLVM version (\S+)", result.stdout)
    return found[1] if found else "of unknown version"


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"no {name} on this machine; on Debian run: apt-get install llvm")
    return path


def run(command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def block_cycles(blocks: Sequence[str], scheduling: str) -> list[float]:
    """Cycles of one execution of each block."""
    assembly = disassemble(sorted({word for block in blocks for word in instruction_words(block)}))
    lines = assembly_source(blocks, assembly)
    command = [program("llvm-mca"), *mca_flags(scheduling), f"-iterations={ITERATIONS}"]
    while (done := run(command, "\n".join(lines))).returncode:
        wrong = {" ".join(text.split()) for text in REFUSED.findall(done.stderr)}
        if not wrong & set(lines):
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UnavailableError(f"llvm-mca {version()} cannot simulate these blocks: {last[:200]}")
        lines = [NOP if line in wrong else line for line in lines]  # the model does not know this instruction
    totals = [int(found) for found in re.findall(r"^Total Cycles:\s+(\d+)", done.stdout, re.MULTILINE)]
    if len(totals) != len(blocks):
        raise UnavailableError(f"llvm-mca {version()} answered for {len(totals)} of {len(blocks)} blocks")
    return [cycles / ITERATIONS for cycles in totals]


def mca_flags(scheduling: str) -> list[str]:
    views = ["-resource-pressure=false", "-instruction-info=false", "-summary-view"]
    return [f"-mtriple={TRIPLE}", f"-mcpu={scheduling}", f"-mattr={FEATURES}", *views]


def assembly_source(blocks: Sequence[str], assembly: Mapping[str, str]) -> list[str]:
    lines = []
    for number, block in enumerate(blocks):
        lines += [
            f"# LLVM-MCA-BEGIN {number}",
            *(assembly[word] for word in instruction_words(block)),
            "# LLVM-MCA-END",
        ]
    return lines


def instruction_words(block: str) -> list[str]:
    return [block[start : start + INSTRUCTION] for start in range(0, len(block), INSTRUCTION)]


def disassemble(codes: Sequence[str]) -> dict[str, str]:
    """The assembly of each instruction (four bytes in hexadecimal); `nop` for one that LLVM does not know."""
    found = {}
    for code in codes:
        found[code] = ",".join(f"0x{code[place : place + 2]}" for place in range(0, INSTRUCTION, 2))
    command = [program("llvm-mc"), "--disassemble", f"-triple={TRIPLE}", f"-mattr={FEATURES}"]
    done = run(command, "\n".join(found.values()))
    unknown = {int(number) - 1 for number in re.findall(r"<stdin>:(\d+):\d+: warning", done.stderr)}
    texts = iter(line.strip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("\t."))
    return {code: NOP if place in unknown else normalized(next(texts)) for place, code in enumerate(codes)}


def normalized(instruction: str) -> str:
    """The instruction with single spaces. A call or return becomes a branch: llvm-mca assumes 100 cycles for a call.

    >>> plain("bl\t#-48"), plain("ret"), plain("add\tx0, x0, x1")
    ('b #0', 'b #0', 'add x0, x0, x1')
    """
    return CALL.sub("b #0", " ".join(instruction.split()))
