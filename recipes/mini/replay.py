"""Put what mini brings along for others into the package: ``python recipes/mini/replay.py data/mini``.

Training images of `recipes/mini/prepare.py`, small: who trains mini on something else replays them, and it forgets
nothing. All photos, and as many emoji and drawings as the table says. And its training captions, one in each line, for
who trains words for another model; those of test and validation images are not among them.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
from PIL import Image

from recipes.mini.images import on_white
from vljepa.parts.saved import CAPTIONS_FILE, REPLAY_FILE

SHIPPED = Path(__file__).resolve().parents[2] / "vljepa" / "pretrained" / "mini"
SOURCES = (("emoji", "google", 256, 96), ("clipart", "clipart", 256, 128), ("photos", "photo", 83, 224))
"""Source, style, most images, and pixels of the shorter side, of which no image gets more than it has."""
QUALITY = 70


def main(arguments: list[str] | None = None) -> int:
    """Draw the images with a fixed seed, and write one table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of recipes/mini/prepare.py")
    parser.add_argument("--out", type=Path, default=SHIPPED / REPLAY_FILE, help="table to write")
    given = parser.parse_args(arguments)
    rows = [row for source in SOURCES for row in chosen(given.data, *source)]
    pq.write_table(pa.Table.from_pylist(rows), given.out, compression="zstd")
    print(f"{given.out}: {len(rows)} images, {given.out.stat().st_size / 1e6:.1f} MB")
    texts = captions(given.data)
    given.out.with_name(CAPTIONS_FILE).write_text("\n".join(texts) + "\n", encoding="utf-8")
    print(f"{given.out.with_name(CAPTIONS_FILE)}: {len(texts)} captions")
    return 0


def captions(data: Path) -> list[str]:
    """Different training captions of photos that are not seen."""
    lines = (data / "text" / "captions.train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = (" ".join(text.split()) for line in lines for text in json.loads(line)["text"])
    return list(dict.fromkeys(texts))


def chosen(data: Path, source: str, style: str, count: int, side: int) -> list[dict[str, Any]]:
    """Rows with the bytes of an image, its identity and its licence."""
    random = np.random.default_rng(0)
    lines = (data / source / "captions.train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["style"] == style]
    places = sorted(random.permutation(len(rows))[:count])
    return [
        {
            "image": small(data / source / rows[place]["image"], side),
            "source_id": rows[place]["source_id"],
            "license": rows[place]["license"],
        }
        for place in places
    ]


def small(file: Path, side: int) -> bytes:
    """WebP with the shorter side at most `side`."""
    with Image.open(file) as image:
        scaled = on_white(image, round(max(image.size) * min(1.0, side / min(image.size))))
    encoded = io.BytesIO()
    scaled.save(encoded, "WEBP", quality=QUALITY, method=6)
    return encoded.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
