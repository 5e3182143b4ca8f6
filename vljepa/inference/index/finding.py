"""What finds candidates in an index on the disk: chosen, built or kept, and opened."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vljepa.errors import DataError
from vljepa.inference.embed import Embedder
from vljepa.inference.index import approximate as approximation
from vljepa.inference.index.approximate import ApproximateIndex
from vljepa.inference.index.manifest import Approximate, read_manifest
from vljepa.inference.index.recall import names_to_ask_for
from vljepa.inference.index.rows import Shards


def find_by(
    embedder: Embedder, entries: Shards, folder: Path, factory: str | None, *, grow: bool
) -> tuple[Approximate | None, ApproximateIndex | None]:
    """What a manifest says of it, and what it is; both None for exact search, the second one without faiss.

    Args:
        embedder: Of the index's model.
        entries: Of the index.
        folder: Where the index lies, or is made.
        factory: As `approximate` of `Index.build`.
        grow: What is there may be added to.
    """
    earlier = None
    with suppress(DataError):
        earlier = read_manifest(folder).approximate
    if factory == "auto":
        width = embedder.model.config.embed_dim
        factory = approximation.choose(len(entries), width) if approximation.installed() else None
    if factory is None:
        return None, None
    about = earlier
    if factory != "keep":
        queries = embedder.texts(names_to_ask_for())
        about = approximation.build(
            entries, folder, factory=factory, queries=queries, earlier=earlier if grow else None
        )
    opened = approximation.load(about, folder, entries) if about is not None and approximation.installed() else None
    return about, opened
