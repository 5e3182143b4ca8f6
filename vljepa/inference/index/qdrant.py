"""An index as a collection of Qdrant in a folder (its local mode, without a server), and back.

Shapes: N entries, D width of the shared space.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vljepa.errors import ConfigError, DataError
from vljepa.extras import require_extra
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import damaged, table_of

if TYPE_CHECKING:
    import pyarrow as pa

COLLECTION = "vljepa"
_BATCH = 1024
_COLUMNS = ("path", "size", "mtime", "content", "start", "end", "time")


def write_qdrant(entries: Shards, folder: Path) -> None:
    """Write the collection `vljepa`: rows under cosine distance, with what `Entry` says of each as payload.

    Args:
        entries: Of the index. Qdrant's local mode holds all in memory and is for some 20,000 of them.
        folder: New or empty; `QdrantClient(path=folder)` opens it.

    Raises:
        ConfigError: qdrant-client is not installed.
        DataError: A path is not Unicode, or the place cannot be written.
    """
    with closing(_client(folder)) as client:
        from qdrant_client import models

        vectors = models.VectorParams(size=entries.blocks[0].shape[1], distance=models.Distance.COSINE)
        client.create_collection(COLLECTION, vectors_config=vectors)
        for start in range(0, len(entries), _BATCH):
            places = np.arange(start, min(start + _BATCH, len(entries)))
            payload = [_payload(entries[place]) for place in places.tolist()]
            client.upload_collection(COLLECTION, vectors=entries.rows(places), payload=payload, ids=places.tolist())


def read_qdrant(folder: Path, width: int) -> Iterator[pa.Table]:
    """Tables of a collection that `write_qdrant` has made.

    Raises:
        ConfigError: qdrant-client is not installed.
        DataError: The collection is not there, or no such one.
    """
    with closing(_client(folder)) as client:
        if not client.collection_exists(COLLECTION):
            raise damaged(folder, f"it has no collection {COLLECTION!r}")
        offset = None
        while True:
            points, offset = client.scroll(COLLECTION, limit=_BATCH, offset=offset, with_vectors=True)
            try:
                made = [Entry(**{name: one.payload[name] for name in _COLUMNS}) for one in points]
                rows = np.array([one.vector for one in points], dtype=np.float32).reshape(len(points), width)
                yield table_of(made, rows)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise damaged(folder, f"{type(error).__name__}: {error}") from error
            if offset is None:
                return


def _client(folder: Path) -> Any:
    require_extra("qdrant", "qdrant_client", user="Qdrant's format")
    from qdrant_client import QdrantClient

    warnings.filterwarnings("ignore", module="qdrant_client")
    try:
        return QdrantClient(path=str(folder))
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"Qdrant cannot open {str(folder)!r}: {error}.", fix="close it elsewhere, and check the path."
        ) from error


def _payload(entry: Entry) -> dict[str, Any]:
    try:
        entry.path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"the name of {entry.path!r} is not Unicode, and Qdrant takes no other.", fix="rename it, or export as npy."
        ) from error
    return asdict(entry)
