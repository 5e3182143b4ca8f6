"""Put a trained mini into the package, in fp16: ``python recipes/mini/ship.py runs/mini/best``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from vljepa import VLJEPA

SHIPPED = Path(__file__).resolve().parents[2] / "vljepa" / "pretrained" / "mini"
LARGEST = 25_000_000


def main() -> int:
    """Load, save narrowed, check the size."""
    VLJEPA.from_pretrained(sys.argv[1]).save_pretrained(SHIPPED, dtype=torch.float16)
    size = (SHIPPED / "model.safetensors").stat().st_size
    print(f"{SHIPPED}: {size / 1e6:.1f} MB")
    return 0 if size <= LARGEST else 2


if __name__ == "__main__":
    raise SystemExit(main())
