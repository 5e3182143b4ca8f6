"""Writes the sample that the tests of the shipped words read: ``python -m eval.captions.sample --data data/mini``.

What `mini` predicts for the 84 test photos (fp16), and their captions (COCO, CC BY 4.0). No pixels: most of the photos
may not be passed on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from eval.mini.data import read_captions
from vljepa.inference.embed import Embedder

SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "assets" / "mini_words"


def main() -> None:
    """Embed the photos, and write."""
    parser = argparse.ArgumentParser(prog="python -m eval.captions.sample", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder of recipes/mini/prepare.py")
    given = parser.parse_args()
    photos = read_captions(given.data, "photos", "test")
    embedder = Embedder.from_pretrained("mini")
    rows = embedder.images([photo.path for photo in photos])
    SAMPLE.mkdir(parents=True, exist_ok=True)
    np.save(SAMPLE / "photos.npy", rows.astype(np.float16))
    sample = {
        "licence": "captions: COCO (Microsoft COCO: Common Objects in Context), CC BY 4.0",
        "text_space": embedder.model.text_space_hash(),
        "photos": [{"source_id": photo.source_id, "captions": photo.texts} for photo in photos],
    }
    (SAMPLE / "photos.json").write_text(json.dumps(sample, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
