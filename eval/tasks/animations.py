"""Names of animations, told from all frames and, as the control, from one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.harness.seeing import clip_frames, visual
from eval.harness.suite import Found
from eval.mini.bootstrap import interval
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.metrics import top_k_hits
from vljepa.processing.video import even_shares, read_clip


def measure(found: Found, embedder: Embedder) -> dict[str, Any]:
    """Share of animations that are nearest to their own name among all names, as a clip and as one picture.

    The picture is the frame in the middle. Of the two, the difference is paired.

    Args:
        found: The files: `rows` with `video` and `text`.
        embedder: A model with `predictor.clips` that encodes frame by frame.
    """
    config = embedder.model.config
    frames = clip_frames(embedder)
    rows = [row for _, row in found.table("rows")]
    names = sorted({str(row["text"]) for row in rows})
    names_MD = embedder.texts(names)
    labels_N = np.array([names.index(str(row["text"])) for row in rows])
    predicted: dict[str, list[np.ndarray]] = {"all frames": [], "one frame": []}
    for row in rows:
        path = found.media / str(found.value(row, "video", "rows", 0))
        predicted["all frames"].append(embedder.images([path]))
        pictures = read_clip(path, shares=even_shares(frames), max_pixels=config.x_encoder.image.max_pixels)
        predicted["one frame"].append(embedder.images([pictures[frames // 2]]))
    hits = {name: top_k_hits(np.concatenate(rows_ND) @ names_MD.T, labels_N).astype(float) for name, rows_ND in
            predicted.items()}  # fmt: skip
    items = [str(row["video"]) for row in rows]
    return {
        "metrics": {name: {"accuracy": interval(hits_N, items)} for name, hits_N in hits.items()}
        | {"all frames minus one": {"accuracy": interval(hits["all frames"] - hits["one frame"], items)}},
        "chance": {name: {"accuracy": 1 / len(names)} for name in hits},
        "rows": len(rows),
        "pool": [{"animations": len(rows), "names": len(names)}],
        "prompt": config.prompts.caption,
        "frames": frames,
        "skipped": {"count": 0, "first": {}},
        "examined": [
            Record(visual(found.media / str(row["video"]), frames=frames), (str(row["text"]),)) for row in rows
        ],
    }
