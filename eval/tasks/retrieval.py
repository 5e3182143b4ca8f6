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
from eval.tasks.pools import Row, chance, figures, make_pool, ranks_of, recall_interval
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
    paths = [one.path for one in items]
    rows_ND = files.embed(paths)
    kept = [one for one, there in zip(items, readable(rows_ND), strict=True) if there]
    row_of = dict(zip(paths, rows_ND, strict=True))
    pools = [
        make_pool([one for one in kept if one.style == style], first_text_only=first_text)
        for style in dict.fromkeys(one.style for one in kept)
    ]

    def images(paths: Sequence[Path]) -> np.ndarray:
        return np.stack([row_of[path] for path in paths])

    ranks = ranks_of(Row("model", images, context.embedder.texts), pools)
    metrics: dict[str, dict[str, Any]] = {direction: dict(one) for direction, one in figures(ranks).items()}
    for direction, measured in ranks.items():
        metrics[direction] |= {f"r{k}": recall_interval(measured, k=k) for k in (1, 5)}
    return Result(
        metrics=metrics,
        chance=chance(pools),
        rows=sum(len(one.texts) for one in items),
        pool=[{"items": len(one.paths), "texts": len(one.texts)} for one in pools],
        prompt=context.embedder.model.config.prompts.caption,
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
    texts: dict[tuple[str, str, str], list[str]] = {}
    for number, row in found.table("rows"):
        file = str(found.value(row, item, "rows", number))
        style, concept = (
            str(found.value(row, column, "rows", number)) if column else other
            for column, other in ((pool, ""), (about, file))
        )
        given = found.value(row, text, "rows", number)
        texts.setdefault((file, style, concept), []).extend([given] if isinstance(given, str) else given)
    if not texts:
        raise found.wrong("rows", "it has no rows")
    return [
        Captioned(
            path=found.file_name(name.replace("{}", file)),
            texts=(" ".join(given),) if join else tuple(given),
            source_id=file,
            concept=concept,
            style=style,
        )
        for (file, style, concept), given in texts.items()
    ]


def own_items(found: Found) -> list[Captioned]:
    """Images with all their texts, as training reads them."""
    texts: dict[Any, list[str]] = {}
    for record in found.records("rows", task="retrieval"):
        texts.setdefault(record.image, []).extend(record.texts)
    return [
        Captioned(path=image, texts=tuple(dict.fromkeys(given)), source_id=str(image), concept=str(image), style="")
        for image, given in texts.items()
    ]
