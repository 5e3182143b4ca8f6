"""One row of a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Record:
    """A picture, a question about it, and the texts that answer it.

    Args:
        image: The picture's file, absolute and known to lie under its root; None for rows of text alone.
        texts: Right texts, at least one. Training draws one per visit; retrieval counts all, accuracy the first.
        query: The question; empty for query-free rows.
        source_id: Identity of the picture: equal ids are the same picture.
        candidates: Answers to choose from, for validation by accuracy; empty when not given.
        type: Question type, for accuracy per type.
        source: Name of the source that the row comes from.
    """

    image: Path | None
    texts: tuple[str, ...]
    query: str = ""
    source_id: str = ""
    candidates: tuple[str, ...] = ()
    type: str = ""
    source: str = ""
