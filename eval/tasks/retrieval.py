"""Retrieval both ways: rows of a picture or video and a text; several rows of one item are several right texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.harness.seeing import Eyes, readable, visual
from eval.harness.suite import Found
from eval.mini.data import Captioned
from eval.mini.retrieval_rows import Pool, Row, chance, figures, make_pool, ranks_of, recall_interval
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder


def measure(
    found: Found,
    embedder: Embedder,
    *,
    item: str = "item",
    text: str = "text",
    name: str = "{}",
    pool: str = "",
    about: str = "",
    first_text: bool = False,
    join: bool = False,
    frames: int = 1,
    own: bool = False,
) -> dict[str, Any]:
    """R@1, 5 and 10, median rank and MRR in both directions.

    Args:
        found: The files; `rows` has a row per text, or per item with a list of texts.
        embedder: The model.
        item: Column of the picture or video.
        text: Column of its text or texts.
        name: File name of an item; `{}` is what the column says, such as `{}.mp4` for ids.
        pool: Column that parts the items into pools of their own, whose figures are averaged; empty for one pool.
        about: Column of what the bootstrap draws, such as a concept that several items show; the item when empty.
        first_text: Take the first of an item's texts alone.
        join: Join all texts of an item into one paragraph, as for DiDeMo.
        frames: Frames of a video; 1 for pictures.
        own: Rows of `image` and `text`, in any form that training takes; no other argument counts.
    """
    if own:
        items = own_items(found)
    else:
        items = read_items(found, item=item, text=text, name=name, pool=pool, about=about, join=join)
    eyes = Eyes(embedder, frames=frames)
    paths = [one.path for one in items]
    rows_ND = eyes.look(paths)
    kept = [one for one, there in zip(items, readable(rows_ND), strict=True) if there]
    row_of = dict(zip(paths, rows_ND, strict=True))
    pools = [
        make_pool([one for one in kept if one.style == style], first_text_only=first_text)
        for style in dict.fromkeys(one.style for one in kept)
    ]

    def images(paths: Sequence[Path]) -> np.ndarray:
        return np.stack([row_of[path] for path in paths])

    ranks = ranks_of(Row("model", images, embedder.texts), pools)
    metrics: dict[str, dict[str, Any]] = {way: dict(some) for way, some in figures(ranks).items()}
    for way, measured in ranks.items():
        metrics[way] |= {f"r{k}": recall_interval(measured, k=k) for k in (1, 5)}
    return {
        "metrics": metrics,
        "chance": chance(pools),
        "rows": sum(len(one.texts) for one in items),
        "pool": [_size(one) for one in pools],
        "prompt": embedder.model.config.prompts.caption,
        "frames": frames,
        "skipped": eyes.report(),
        "examined": [
            Record(visual(one.path, frames=frames), one.texts[:1] if first_text else one.texts) for one in items
        ],
    }


def read_items(found: Found, *, item: str, text: str, name: str, pool: str, about: str, join: bool) -> list[Captioned]:
    """Items with all their texts, in the order of the file."""
    texts: dict[tuple[str, str, str], list[str]] = {}
    for number, row in found.table("rows"):
        file = str(found.value(row, item, "rows", number))
        key = (
            file,
            *(
                str(found.value(row, column, "rows", number)) if column else other
                for column, other in ((pool, ""), (about, file))
            ),
        )
        said = found.value(row, text, "rows", number)
        texts.setdefault(key, []).extend([said] if isinstance(said, str) else said)
    if not texts:
        raise found.wrong("rows", "it has no rows")
    return [
        Captioned(
            path=path_under(found.media, name.replace("{}", file), where=str(found.files["rows"])),
            texts=(" ".join(said),) if join else tuple(said),
            source_id=file,
            concept=concept,
            style=style,
        )
        for (file, style, concept), said in texts.items()
    ]


def own_items(found: Found) -> list[Captioned]:
    """Pictures with all their texts, as training reads them."""
    texts: dict[Any, list[str]] = {}
    for record in found.records("rows", task="retrieval"):
        texts.setdefault(record.image, []).extend(record.texts)
    return [
        Captioned(path=image, texts=tuple(dict.fromkeys(said)), source_id=str(image), concept=str(image), style="")
        for image, said in texts.items()
    ]


def _size(pool: Pool) -> dict[str, int]:
    return {"items": len(pool.paths), "texts": len(pool.texts)}
