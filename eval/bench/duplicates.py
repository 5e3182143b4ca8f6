"""How many copies of photos are found, and what else is: ``python eval/run.py bench.duplicates photos=FOLDER``.

Each photo gets ten copies: scaled, compressed, cropped, brightened, grey. All are indexed with other photos, of which
some may be near duplicates themselves: what is found among them is listed, for a human to judge. The thresholds were
chosen on the photos of even numbers; those of odd numbers are the test.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from eval.core.console import log
from vljepa.inference.embed import Embedder
from vljepa.inference.images import walk
from vljepa.inference.index import Index, near_duplicates

Change = Callable[[Image.Image], Image.Image]


def measure(*, photos: str, others: Sequence[str] = (), model: str = "mini") -> dict[str, Any]:
    """Recall of each kind of copy, precision, and time.

    Args:
        photos: Folder of the photos that are copied.
        others: Folders of more photos.
        model: Preset, folder, repository or dual encoder.
    """
    embedder = Embedder.from_pretrained(model, device="cpu")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = _copies(walk(photos).files, folder)
        for number, other in enumerate(others):
            (folder / f"other{number}").symlink_to(Path(other).resolve())
        paths = [folder / "photos", *(folder / f"other{number}" for number in range(len(others)))]
        began = time.perf_counter()
        index = Index.build(embedder.model, embedder.processor, paths)
        embedded = time.perf_counter()
        log(f"{len(index)} images in {embedded - began:.0f} s")
        groups, unreadable = near_duplicates(index.entries, index.folder)
        took = time.perf_counter() - embedded
    pairs = [(_name(group.path), _name(one.path)) for group in groups for one in group.duplicates]
    right = {pair for pair in pairs if _source(pair[0]) is not None and _source(pair[0]) == _source(pair[1])}
    wrong = sorted(set(pairs) - right)
    found = {name for pair in right for name in pair}
    recall: dict[str, dict[str, float]] = {"tuned on": {}, "test": {}}
    for half, names in enumerate(recall):
        of_half = [number for number in range(count) if number % 2 == half]
        for kind in CHANGES:
            share = sum(f"{number:05}.{kind}.png" in found for number in of_half) / max(1, len(of_half))
            recall[names][kind] = round(share, 4)
        recall[names]["all"] = round(sum(recall[names].values()) / len(CHANGES), 4)
    return {
        "model": model,
        "photos": count,
        "images": len(index),
        "pairs": len(pairs),
        "precision": round(len(right) / max(1, len(pairs)), 4),
        "recall": recall,
        "found among other photos, and of two photos": [" and ".join(pair) for pair in wrong],
        "groups": dict(sorted(Counter(1 + len(group.duplicates) for group in groups).items())),
        "unreadable": len(unreadable),
        "seconds": {"embed": round(embedded - began, 1), "find": round(took, 1)},
    }


def _copies(files: Sequence[Path], folder: Path) -> int:
    (folder / "photos").mkdir()
    for number, file in enumerate(files):
        image = Image.open(file).convert("RGB")
        (folder / "photos" / f"{number:05}.original{file.suffix}").write_bytes(file.read_bytes())
        for kind, change in CHANGES.items():
            change(image).save(folder / "photos" / f"{number:05}.{kind}.png", compress_level=1)
    return len(files)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _source(name: str) -> str | None:
    """Number of the photo that a file was made of; None for other photos."""
    number, _, rest = name.partition(".")
    return number if rest.rpartition(".")[0] in ("original", *CHANGES) else None


def _saved(image: Image.Image, form: str, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, form, quality=quality)
    return Image.open(stream).convert("RGB")


def _scaled(image: Image.Image, share: float) -> Image.Image:
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _cropped(image: Image.Image, share: float, *, left: float, top: float) -> Image.Image:
    x, y = (1 - share) * image.width * left, (1 - share) * image.height * top
    return image.crop((int(x), int(y), int(x + share * image.width), int(y + share * image.height)))


CHANGES: dict[str, Change] = {
    "half the size": lambda image: _scaled(image, 0.5),
    "a quarter of the size": lambda image: _scaled(image, 0.25),
    "JPEG of quality 30": lambda image: _saved(image, "JPEG", 30),
    "WebP of quality 50": lambda image: _saved(image, "WEBP", 50),
    "half the size, quality 40": lambda image: _saved(_scaled(image, 0.5), "JPEG", 40),
    "95% of each side": lambda image: _cropped(image, 0.95, left=0.3, top=0.7),
    "90% of each side": lambda image: _cropped(image, 0.9, left=0.2, top=0.6),
    "80% of each side": lambda image: _cropped(image, 0.8, left=0.6, top=0.4),
    "a quarter brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "grey": lambda image: image.convert("L").convert("RGB"),
}
