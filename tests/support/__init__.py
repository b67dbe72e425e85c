"""What tests share: small real models, hand-made results, a device on the loopback."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
