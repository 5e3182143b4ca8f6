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
    embedder = context.embedder
    frames = clip_frames(embedder)
    rows = [(row.file("video"), row.text("text")) for row in context.found.rows("rows")]
    names = sorted({text for _, text in rows})
    labels_N = np.array([names.index(text) for _, text in rows])
    predicted: dict[str, list[np.ndarray]] = {"all frames": [], "one frame": []}
    for path, _ in rows:
        predicted["all frames"].append(embedder.images([path]))
        images = read_clip(path, shares=even_shares(frames), max_pixels=max_pixels(embedder))
        predicted["one frame"].append(embedder.images([images[frames // 2]]))
    names_MD, items = embedder.texts(names), [path.name for path, _ in rows]
    hits = {
        name: top_k_hits(np.concatenate(rows_ND) @ names_MD.T, labels_N).astype(float)
        for name, rows_ND in predicted.items()
    }
    minus = hits["all frames"] - hits["one frame"]
    return Result(
        metrics={
            name: {"accuracy": interval(hits_N, items)}
            for name, hits_N in (hits | {"all frames minus one": minus}).items()
        },
        chance={name: {"accuracy": 1 / len(names)} for name in hits},
        rows=len(rows),
        pool=[{"animations": len(rows), "names": len(names)}],
        frames=frames,
        examined=[Record(visual(path, frames=frames), (text,)) for path, text in rows],
    )
