"""Public-domain clip art whose titles and descriptions stand in the PNG files."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from recipes.mini.images import MAX_PIXELS, save_png
from recipes.mini.records import SPLITS, Caption, CaptionSplits, normalise
from recipes.mini.splitting import split_of_title
from recipes.mini.titles import SKIPPED_FOLDERS, clean_description, clean_title

LONGEST = 256
SMALLEST = 24
COMMON = 6  # a title that more images than this carry names a series
MOST_ALIKE = 8  # images kept of one cleaned title: sixty arrows teach no more than eight


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A clip-art file with its text chunks as they are."""

    path: Path
    name: str
    title: str
    description: str
    author: str


def read_drawings(root: Path) -> tuple[list[Drawing], Counter[str]]:
    """Return every readable image under ``root`` with its texts, and why others were left out."""
    drawings, skipped = [], Counter[str]()
    for path in sorted(root.rglob("*.png")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            skipped["link to another picture"] += 1
            continue
        if name.startswith(SKIPPED_FOLDERS):
            skipped["folder of flags, patterns, cards, widgets"] += 1
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as image:
                    size, info = image.size, dict(image.info)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            skipped["unreadable or blank"] += 1
            continue
        if min(size) < SMALLEST or size[0] * size[1] > MAX_PIXELS or max(size) > 6 * min(size):
            skipped["too small, too large or too narrow"] += 1
            continue
        texts = {key: str(info.get(key, "")) for key in ("Title", "Description", "Author")}
        drawings.append(
            Drawing(
                path=path, name=name, title=texts["Title"], description=texts["Description"], author=texts["Author"]
            )
        )
    return drawings, skipped


def captions(root: Path, held_out: frozenset[str], out: Path) -> tuple[CaptionSplits, Counter[str]]:
    """Write the usable images; return their captions and how many were left out, by reason.

    An image with a text equal to one of ``held_out`` (normalised texts of held-out emoji concepts) is left out.
    """
    drawings, skipped = read_drawings(root)
    times = Counter(drawing.title for drawing in drawings)
    rows: CaptionSplits = {split: [] for split in SPLITS}
    seen: set[bytes] = set()
    alike = Counter[str]()
    for drawing in drawings:
        stem = Path(drawing.name).stem
        title = clean_title(drawing.title, file_name=stem, author=drawing.author, common=times[drawing.title] > COMMON)
        if not title:
            skipped["no usable title"] += 1
            continue
        description = clean_description(drawing.description, drawing.author)
        known = set(title.split())
        fresh = [word for word in normalise(description).split() if word not in known and not word.isdigit()]
        texts = [title, description] if fresh else [title]
        if held_out & {normalise(text) for text in texts}:
            skipped["text of a held-out emoji concept"] += 1
            continue
        if alike[normalise(title)] == MOST_ALIKE:
            skipped[f"more than {MOST_ALIKE} with one title"] += 1
            continue
        image = "images/" + drawing.name.replace("/", "--").replace(" ", "_")
        if not save_png(drawing.path, out / image, LONGEST, trim=True):
            skipped["unreadable or blank"] += 1
            continue
        pixels = (out / image).read_bytes()
        if pixels in seen:
            skipped["same pixels as another"] += 1
            continue
        seen.add(pixels)
        alike[normalise(title)] += 1
        rows[split_of_title(normalise(title))].append(
            Caption(
                image=image,
                text=texts,
                source_id=f"clipart:{drawing.name}",
                concept=normalise(title),
                style="clipart",
                license="public domain",
            )
        )
    return rows, skipped
