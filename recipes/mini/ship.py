"""Put a trained mini into the package, in fp16: ``python recipes/mini/ship.py RUN/best``.

Exit code 2: there is no such model, or what was put there is larger than a wheel may hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch

from vljepa import VLJEPA
from vljepa.errors import VLJEPAError

SHIPPED = Path(__file__).resolve().parents[2] / "vljepa" / "pretrained"
LARGEST = 25_000_000


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("model", type=Path, help="folder of the trained model, such as PATH/TO/RUN/best")
    result.add_argument("--decoder", type=Path, help="folder of its Y-Decoder; without, the model's own if it has one")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Load, save narrowed, check the size."""
    given = parser().parse_args(arguments)
    try:
        if not given.model.is_dir():
            raise VLJEPAError(f"there is no folder {str(given.model)!r}.", fix="give the `best` folder of a run.")
        model = VLJEPA.from_pretrained(str(given.model))
        if given.decoder is not None:
            model.load_decoder(given.decoder)
        folder = SHIPPED / "mini"
        model.save_pretrained(folder, dtype=torch.float16)
    except VLJEPAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes = [file.stat().st_size for file in folder.rglob("model.safetensors")]
    print(f"{folder}: " + " and ".join(f"{size / 1e6:.1f} MB" for size in sizes))
    return 0 if max(sizes) <= LARGEST else 2


if __name__ == "__main__":
    raise SystemExit(main())
