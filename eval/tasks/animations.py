"""Names of animations, from all frames and, as the control, from one of them."""

from __future__ import annotations

import numpy as np

from eval.core.embedding import clip_frames, max_pixels, visual
from eval.core.result import Context, Result
from eval.core.statistics import interval
from vljepa.data.records import Record
from vljepa.metrics import top_k_hits
from vljepa.processing.video import even_shares, read_clip


def measure(context: Context) -> Result:
    """Share of animations that are nearest to their own name among all names, as a clip and as one image.

    The image is the frame in the middle. Of the two, the difference is paired.

    Args:
        context: The files: `rows` with `video` and `text`; a model with `predictor.clips` that encodes frame by frame.
    """
    found, embedder = context.found, context.embedder
    frames = clip_frames(embedder)
    rows = [row for _, row in found.table("rows")]
    paths = [found.file_name(found.value(row, "video", "rows", 0)) for row in rows]
    names = sorted({str(row["text"]) for row in rows})
    names_MD = embedder.texts(names)
    labels_N = np.array([names.index(str(row["text"])) for row in rows])
    predicted: dict[str, list[np.ndarray]] = {"all frames": [], "one frame": []}
    for path in paths:
        predicted["all frames"].append(embedder.images([path]))
        images = read_clip(path, shares=even_shares(frames), max_pixels=max_pixels(embedder))
        predicted["one frame"].append(embedder.images([images[frames // 2]]))
    items = [str(row["video"]) for row in rows]
    hits = {
        name: top_k_hits(np.concatenate(rows_ND) @ names_MD.T, labels_N).astype(float)
        for name, rows_ND in predicted.items()
    }
    return Result(
        metrics={name: {"accuracy": interval(hits_N, items)} for name, hits_N in hits.items()}
        | {"all frames minus one": {"accuracy": interval(hits["all frames"] - hits["one frame"], items)}},
        chance={name: {"accuracy": 1 / len(names)} for name in hits},
        rows=len(rows),
        pool=[{"animations": len(rows), "names": len(names)}],
        prompt=embedder.model.config.prompts.caption,
        frames=frames,
        examined=[
            Record(visual(path, frames=frames), (str(row["text"]),)) for path, row in zip(paths, rows, strict=True)
        ],
    )
