"""Retrieval both ways: rows of an image or video and a text; several rows of one item are several right texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.embedding import FileEmbedder, readable, visual
from eval.core.prepared import Captioned
from eval.core.result import Context, Result
from eval.core.suite import Found
from eval.tasks.pools import Row, chance, figures, make_pools, ranks_of, recall_interval
from vljepa.data.records import Record


def measure(
    context: Context, *, first_text: bool = False, frames: int = 1, own: bool = False, **columns: Any
) -> Result:
    """R@1, 5 and 10, median rank and MRR in both directions.

    Args:
        context: The files; `rows` has a row per text, or per item with a list of texts.
        first_text: Take the first of an item's texts alone.
        frames: Frames of a video; 1 for images.
        own: Rows of `image` and `text`, in any form that training takes; no columns count.
        columns: As for `read_items`.
    """
    items = own_items(context.found) if own else read_items(context.found, **columns)
    files = FileEmbedder(context.embedder, frames=frames)
    rows_ND = files.embed([one.path for one in items])
    row_of = {one.path: row for one, row in zip(items, rows_ND, strict=True)}
    pools = make_pools(
        [one for one, there in zip(items, readable(rows_ND), strict=True) if there], first_text_only=first_text
    )

    def images(paths: Sequence[Path]) -> np.ndarray:
        return np.stack([row_of[path] for path in paths])

    ranks = ranks_of(Row("model", images, context.embedder.texts), pools)
    recalls = {
        direction: {f"r{k}": recall_interval(measured, k=k) for k in (1, 5)} for direction, measured in ranks.items()
    }
    return Result(
        metrics={direction: one | recalls[direction] for direction, one in figures(ranks).items()},
        chance=chance(pools),
        rows=sum(len(one.texts) for one in items),
        pool=[{"items": len(one.paths), "texts": len(one.texts)} for one in pools],
        frames=frames,
        skipped=files.report(),
        examined=[Record(visual(one.path, frames=frames), one.texts[:1] if first_text else one.texts) for one in items],
    )


def read_items(
    found: Found,
    *,
    item: str = "item",
    text: str = "text",
    name: str = "{}",
    pool: str = "",
    about: str = "",
    join: bool = False,
) -> list[Captioned]:
    """Items with all their texts, in the order of the file.

    Args:
        found: The files.
        item: Column of the image or video.
        text: Column of its text or texts.
        name: File name of an item; `{}` is what the column says, such as `{}.mp4` for ids.
        pool: Column that parts the items into pools of their own, whose figures are averaged; empty for one pool.
        about: Column of what the bootstrap draws, such as a concept that several items show; the item when empty.
        join: Join all texts of an item into one paragraph, as for DiDeMo.
    """
    texts: dict[tuple[str, str, str, Path], list[str]] = {}
    for row in found.rows("rows"):
        file, style = row.text(item), row.text(pool) if pool else ""
        key = file, style, row.text(about) if about else file, row.file(item, name=name)
        texts.setdefault(key, []).extend(row.texts(text))
    if not texts:
        raise found.wrong("rows", "it has no rows")
    return [
        Captioned(path, (" ".join(given),) if join else tuple(given), file, concept, style)
        for (file, style, concept, path), given in texts.items()
    ]


def own_items(found: Found) -> list[Captioned]:
    """Images with all their texts, as training reads them."""
    texts: dict[Any, list[str]] = {}
    for record in found.records("rows", task="retrieval"):
        texts.setdefault(record.image, []).extend(record.texts)
    return [
        Captioned(image, tuple(dict.fromkeys(given)), str(image), str(image), style="")
        for image, given in texts.items()
    ]
