"""Texts through their own embeddings and back, by the Y-Decoder."""

from __future__ import annotations

from typing import Any

from eval.captions.measure import round_trips
from eval.harness.suite import Found
from vljepa.data.records import Record
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder


def measure(found: Found, embedder: Embedder, *, text: str = "text", limit: int = 256) -> dict[str, Any]:
    """Cosine, BLEU-4 and exact matches, with another text's embedding and with none as controls.

    Args:
        found: The files; `rows` is a text file or a table, or the stored predictions' captions.
        embedder: The model.
        text: Column of the texts.
        limit: Take the first so many different ones.
    """
    embedder.require_words()
    texts: list[str] = []
    if found.files["rows"].suffix == ".json":
        texts = [one for photo in found.json("rows")["photos"] for one in photo["captions"]]
    else:
        for number, row in found.table("rows"):
            said = found.value(row, text, "rows", number)
            texts += [said.strip()] if isinstance(said, str) else said
    texts = list(dict.fromkeys(texts))[:limit]
    if len(texts) < 2:
        raise DataError(f"{found.files['rows']} has {len(texts)} text(s).", fix="give at least two.")
    figures = round_trips(embedder, texts)
    examples = figures.pop("examples")
    return {
        "metrics": {"model": figures},
        "rows": len(texts),
        "pool": [{"texts": len(texts)}],
        "prompt": embedder.model.config.y_encoder.prefix,
        "frames": 0,
        "skipped": {"count": 0, "first": {}},
        "examined": [Record(None, tuple(texts))],
        "examples": examples,
    }
