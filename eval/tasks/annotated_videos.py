"""Selective decoding of annotated videos: CIDEr-D of the nearest decode, against decodes per second.

Shapes: T frames of a video at `FPS`, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from eval.core.console import CONSOLE
from eval.core.embedding import max_pixels
from eval.core.result import Context, Result
from eval.core.suite import Found
from eval.tasks.made.curves import UNIFORM, like_for_like, points, rate_curves, score_points
from eval.tasks.made.methods import Watched, online
from eval.tasks.made.scoring import MAIN, Scorer
from eval.tasks.made.streams import FPS
from vljepa.data.records import Clip, Record
from vljepa.errors import DataError, VideoError
from vljepa.inference.embed import Embedded, Embedder
from vljepa.metrics import cider_at, saving
from vljepa.metrics.selective import REFERENCE_RATE
from vljepa.processing.processor import ImageInput
from vljepa.processing.video import read_frames

GREY = (32, 32)
SHOWN = ("uniform, exact", "uniform, mean", "adaptive, exact", "adaptive, mean")


def measure(context: Context, *, rates: Sequence[float], name: str = "{}") -> Result:
    """Four curves (uniform and adaptive, exact and mean), and the shipped online decoder at its own rate.

    Args:
        context: The files; `rows` has `video`, `t` in seconds and `text` (several rows at one time are references).
        rates: Decodes per second.
        name: File name of a video; `{}` is what the row says.
    """
    found, embedder = context.found, context.embedder
    embedder.require_words()
    texts, videos = read_annotations(found, name=name)
    scorer = Scorer(texts, decode=embedder.write)
    unreadable: dict[str, str] = {}
    seen: list[Watched] = []
    for path, notes in track(list(videos.items()), "embedding", console=CONSOLE, transient=True):
        try:
            seen.append(watch(path, notes, embedder))
        except VideoError as error:
            unreadable[str(path)] = error.message
    if not seen:
        raise DataError(f"none of {len(videos)} videos can be read.", fix=next(iter(unreadable.values())))
    curves = {label: rate_curves(seen, scorer, label, rates, protocols=[MAIN])[MAIN] for label in SHOWN}
    decoder = embedder.model.y_decoder
    assert decoder is not None
    config = decoder.config.selective
    live = score_points([[online(one, config=config) for one in seen]], seen, scorer, protocols=[MAIN])[MAIN]
    metrics: dict[str, Any] = {
        label: {
            "cider_d at 1 Hz": cider_at(curve, REFERENCE_RATE),
            "times fewer, like for like": saving(curve, uniform=curves[like_for_like(label)]),
            "times fewer, mixed": saving(curve, uniform=curves[UNIFORM]),
        }
        for label, curve in curves.items()
    }
    rate = float(live.rates.mean())
    metrics[f"online {config.method}"] = {
        "rate": rate,
        "cider_d": float(live.cider.mean()),
        "uniform at that rate": cider_at(curves[UNIFORM], rate),
    }
    return Result(
        metrics=metrics,
        rows=sum(len(one) for one in texts),
        pool=[{"videos": len(seen), "annotations": len(texts)}],
        skipped={"count": len(unreadable), "first": unreadable},
        examined=[
            Record(
                Clip(path, start=0.0, end=None, frames=1), tuple(text for _, place in notes for text in texts[place])
            )
            for path, notes in videos.items()
        ],
        more={"fps": FPS, "curves": {label: points(one) for label, one in curves.items()}},
    )


def read_annotations(found: Found, *, name: str) -> tuple[list[list[str]], dict[Path, list[tuple[float, int]]]]:
    """Texts of every annotation, and times and numbers of annotations by video."""
    texts: dict[tuple[Path, float], list[str]] = {}
    for row in found.rows("rows"):
        key = row.file("video", name=name), float(row["t"])
        texts.setdefault(key, []).extend(row.texts("text"))
    videos: dict[Path, list[tuple[float, int]]] = {}
    for place, (path, time) in enumerate(texts):
        videos.setdefault(path, []).append((time, place))
    return list(texts.values()), videos


def watch(path: Path, notes: Sequence[tuple[float, int]], embedder: Embedder) -> Watched:
    """Embed the frames of an annotated video at `FPS`."""
    grey: list[np.ndarray] = []
    batches: list[Embedded] = []
    block: list[ImageInput] = []
    for frame in read_frames(path, fps=FPS, max_pixels=max_pixels(embedder)):
        grey.append(np.asarray(frame.image.convert("L").resize(GREY), dtype=np.float32))
        block.append(frame.image)
        if len(block) == embedder.batch_size:
            batches += embedder.embedded(block)
            block = []
    batches += embedder.embedded(block)
    classes = [one.classes for one in batches if one.classes is not None]
    rows = np.concatenate([one.rows for one in batches])
    return Watched(notes, rows, np.stack(grey), np.concatenate(classes) if classes else None)
