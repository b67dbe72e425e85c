"""Flash and RAM of boards, as their makers publish them. `fmnist-edge fit` compares a model's needs with these.

A board is a record here. Sizes are bytes; 1 KiB is 1,024.
"""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_edge.lookup import Catalog

__all__ = ["LINUX", "MICROCONTROLLER", "BoardMemory", "board_memories"]

MICROCONTROLLER, LINUX = "microcontroller", "linux"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class BoardMemory:
    """The memory of a board.

    Attributes:
        kind: MICROCONTROLLER, without an operating system, or LINUX.
        processor: what runs the model.
        flash: bytes of flash for program and model; None for a board whose storage is a card or a disk.
        ram: bytes of RAM.
        block: bytes of its largest contiguous region. A tensor arena must lie in one region.
        source: the document that has these figures.
    """

    name: str
    title: str
    kind: str
    processor: str
    flash: int | None
    ram: int
    block: int
    source: str


def microcontroller(
    name: str, title: str, processor: str, flash: int, ram: int, source: str, block: int | None = None
) -> BoardMemory:
    return BoardMemory(name, title, MICROCONTROLLER, processor, flash, ram, ram if block is None else block, source)


def linux(name: str, title: str, processor: str, ram: int, source: str) -> BoardMemory:
    return BoardMemory(name, title, LINUX, processor, None, ram, ram, source)


board_memories: Catalog[BoardMemory] = Catalog(
    "board",
    (
        microcontroller(
            "nucleo-f446re", "ST NUCLEO-F446RE", "Cortex-M4F, 180 MHz", 512 * KIB, 128 * KIB,
            "ST DS10693, STM32F446xC/E: SRAM1 112 KiB and SRAM2 16 KiB are adjacent",
        ),
        microcontroller(
            "stm32f407-discovery", "ST STM32F4DISCOVERY", "Cortex-M4F, 168 MHz", 1 * MIB, 192 * KIB,
            "ST DS8626, STM32F407: 128 KiB of SRAM1 and SRAM2, and 64 KiB of CCM elsewhere", block=128 * KIB,
        ),
        microcontroller(
            "arduino-nano-33-ble", "Arduino Nano 33 BLE", "Cortex-M4F, 64 MHz", 1 * MIB, 256 * KIB,
            "Arduino ABX00030 datasheet, nRF52840; the Bluetooth stack is the firmware's own",
        ),
        microcontroller(
            "nrf52840-dk", "Nordic nRF52840 DK", "Cortex-M4F, 64 MHz", 1 * MIB, 256 * KIB,
            "Nordic nRF52840 Product Specification, chapter Memory",
        ),
        microcontroller(
            "nrf5340-dk", "Nordic nRF5340 DK", "Cortex-M33, 128 MHz", 1 * MIB, 512 * KIB,
            "Nordic nRF5340 Product Specification, chapter Memory, application core",
        ),
        microcontroller(
            "pico", "Raspberry Pi Pico", "2 × Cortex-M0+, 133 MHz", 2 * MIB, 264 * KIB,
            "Raspberry Pi Pico datasheet; RP2040 datasheet, 2.6.2 SRAM",
        ),
        microcontroller(
            "pico2", "Raspberry Pi Pico 2", "2 × Cortex-M33, 150 MHz", 4 * MIB, 520 * KIB,
            "Raspberry Pi Pico 2 datasheet; RP2350 datasheet, 4.2 SRAM",
        ),
        microcontroller(
            "esp32-s3-devkitc", "Espressif ESP32-S3-DevKitC-1 N8", "2 × Xtensa LX7, 240 MHz", 8 * MIB, 345_856,
            "ESP32-S3-DevKitC-1 user guide (flash); espressif/esp-idf issue 14083 (RAM): the linker has 345,856 bytes "
            "of D/IRAM, and hello_world leaves 290,333", block=290_333,
        ),
        microcontroller(
            "nucleo-l4r5zi", "ST NUCLEO-L4R5ZI", "Cortex-M4F, 120 MHz", 2 * MIB, 640 * KIB,
            "ST DS12023, STM32L4R5xx: SRAM1, SRAM2 (its alias) and SRAM3 are adjacent",
        ),
        microcontroller(
            "nucleo-f767zi", "ST NUCLEO-F767ZI", "Cortex-M7, 216 MHz", 2 * MIB, 512 * KIB,
            "ST DS11532, STM32F767xx: DTCM, SRAM1 and SRAM2 are adjacent",
        ),
        microcontroller(
            "nucleo-h743zi", "ST NUCLEO-H743ZI2", "Cortex-M7, 480 MHz", 2 * MIB, 1 * MIB,
            "ST DS12110, STM32H743xI: 512 KiB of AXI SRAM is the largest region", block=512 * KIB,
        ),
        linux("pi-zero-2w", "Raspberry Pi Zero 2 W", "4 × Cortex-A53", 512 * MIB,
              "Raspberry Pi Zero 2 W product brief"),
        linux("pi3", "Raspberry Pi 3B+", "4 × Cortex-A53", 1 * GIB, "Raspberry Pi 3 Model B+ product brief"),
        linux("pi4", "Raspberry Pi 4B, 1 GB", "4 × Cortex-A72", 1 * GIB, "Raspberry Pi 4 product brief, 1 GB variant"),
        linux("pi5", "Raspberry Pi 5, 2 GB", "4 × Cortex-A76", 2 * GIB, "Raspberry Pi 5 product brief, 2 GB variant"),
        linux("jetson-nano", "NVIDIA Jetson Nano, 4 GB", "4 × Cortex-A57", 4 * GIB,
              "NVIDIA Jetson Nano Developer Kit (B01) specifications"),
        linux("jetson-orin-nano", "NVIDIA Jetson Orin Nano, 8 GB", "6 × Cortex-A78AE", 8 * GIB,
              "NVIDIA Jetson Orin Nano Developer Kit specifications"),
    ),
)  # fmt: skip
