"""Where a model's C form can run besides this machine: how it is compiled there, and what emulates the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.lookup import Catalog

__all__ = ["TARGETS", "Target"]

HERE = Path(__file__).parent
QUIET = ("-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native")
BARE_METAL = (
    "-mthumb", "-mfloat-abi=soft", "-Os", "-ffunction-sections", "-fdata-sections", "-nostartfiles",
    "--specs=nano.specs", "-Wl,--gc-sections", "-T", str(HERE / "firmware.ld"),
)  # fmt: skip
WASM = (
    "--target=wasm32", "-nostdlib", "-O3", "-msimd128", "-mbulk-memory", f"-I{HERE / 'headers'}", "-Wl,--no-entry",
)  # fmt: skip
# Where emulated boards have vectors, code and data: address and size. QEMU, hw/arm/mps2.c and hw/arm/mps2-tz.c.
MPS2 = {"FE_VECTORS": "0x0", "FE_CODE": "0x400", "FE_CODE_BYTES": "0x3ffc00", "FE_RAM": "0x20000000",
        "FE_RAM_BYTES": "0x400000"}  # fmt: skip
AN505 = {"FE_VECTORS": "0x10000000", "FE_CODE": "0x10000400", "FE_CODE_BYTES": "0x3ffc00", "FE_RAM": "0x38000000",
         "FE_RAM_BYTES": "0x400000"}  # fmt: skip
AN547 = {"FE_VECTORS": "0x0", "FE_CODE": "0x11000000", "FE_CODE_BYTES": "0x200000", "FE_RAM": "0x30000000",
         "FE_RAM_BYTES": "0x80000"}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A machine that runs the C form. Its program reads images.bin, and writes scores.bin and target.txt.

    Attributes:
        compilers: names of the compiler; the first that is on the PATH is used.
        options: of the compiler, besides those of `compile`.
        adapter: the file beside this one that has the program's start.
        command: runs "{program}".
        packages: the Debian packages that have all of it.
        back_end: what the model's `target` function returns.
    """

    name: str
    title: str
    compilers: tuple[str, ...]
    options: tuple[str, ...]
    adapter: str
    command: tuple[str, ...]
    packages: str
    back_end: str

    @property
    def is_firmware(self) -> bool:
        return self.adapter == "firmware.c"


def cortex_m(core: str, board: str, addresses: dict[str, str], back_end: str = "Arm DSP") -> Target:
    places = ",".join(f"--defsym={name}={value}" for name, value in addresses.items())
    return Target(
        f"cortex-{core}",
        f"C on Cortex-{core.upper()} ({board} in QEMU)",
        ("arm-none-eabi-gcc",),
        (f"-mcpu=cortex-{core}", *BARE_METAL, f"-Wl,{places}"),
        "firmware.c",
        ("qemu-system-arm", "-M", board, *QUIET, "-kernel", "{program}"),
        "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        back_end,
    )


def cortex_a(core: str, back_end: str) -> Target:
    return Target(
        f"cortex-{core}",
        f"C on Cortex-{core.upper()} (qemu-user)",
        ("aarch64-linux-gnu-gcc",),
        ("-O3", "-static", "-D_XOPEN_SOURCE=500", f"-mcpu=cortex-{core}"),
        "stream.c",
        ("qemu-aarch64", "-cpu", f"cortex-{core}", "{program}"),
        "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
        back_end,
    )


TARGETS: Catalog[Target] = Catalog(
    "target",
    (
        cortex_a("a53", "NEON"),
        cortex_a("a72", "NEON"),
        cortex_a("a76", "NEON with dot products"),
        cortex_m("m3", "mps2-an385", MPS2, "any C99 compiler"),
        cortex_m("m4", "mps2-an386", MPS2),
        cortex_m("m7", "mps2-an500", MPS2),
        cortex_m("m33", "mps2-an505", AN505),
        cortex_m("m55", "mps3-an547", AN547),
        Target(
            "wasm",
            "C as WebAssembly (Node)",
            ("clang", "clang-14", "clang-16", "clang-19"),
            WASM,
            "module.c",
            ("node", str(HERE / "module.mjs"), "{program}"),
            "clang lld nodejs",
            "WebAssembly SIMD",
        ),
    ),
)
