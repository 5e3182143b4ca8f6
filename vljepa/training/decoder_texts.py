"""The texts of a decoder recipe: what is trained on, what is held out, and what must never be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vljepa.configs import DecoderDataConfig, DecoderSourceConfig
from vljepa.data.records import Record
from vljepa.data.sources import load_source
from vljepa.processing.text import normalise_text

Sources = list[list[Record]]


def read_texts(data: DecoderDataConfig) -> tuple[Sources, list[str], dict[str, int]]:
    """Rows of the training sources, held-out texts, and how many rows `exclude` took out of each source.

    Raises:
        DataError: A source is not usable.
    """
    train = [
        load_source(source, root=data.root, images=source.see == "picture", max_skipped=data.max_skipped)
        for source in data.train
    ]
    excluded = [
        load_source(source, root=data.root, images=False, max_skipped=data.max_skipped) for source in data.exclude
    ]
    train, dropped = exclude(train, excluded, names=[source.name for source in data.train])
    train, held_out = hold_out(train, data.train, share=data.held_out)
    # A name may belong to several images: what another row trains on is not held out.
    trained = {normalise_text(text) for source in train for record in source for text in record.texts}
    texts = dict.fromkeys(text for record in held_out for text in record.texts if normalise_text(text) not in trained)
    return train, list(texts), dropped


def exclude(train: Sources, excluded: Sources, *, names: Sequence[str]) -> tuple[Sources, dict[str, int]]:
    """Training rows without those of excluded images, and without excluded texts; and how many went, by source.

    Two texts are the same when `normalise_text` makes them the same. A row that keeps too few texts goes whole.
    """
    ids = {record.source_id for source in excluded for record in source}
    texts = {normalise_text(text) for source in excluded for record in source for text in record.texts}
    kept: Sources = []
    dropped: dict[str, int] = {}
    for name, source in zip(names, train, strict=True):
        rows = []
        for record in source:
            left = tuple(text for text in record.texts if normalise_text(text) not in texts)
            if record.source_id not in ids and len(left) >= min(2, len(record.texts)):
                rows.append(_with_texts(record, left))
        kept.append(rows)
        if len(rows) < len(source):
            dropped[name] = len(source) - len(rows)
    return kept, dropped


def hold_out(train: Sources, configs: Sequence[DecoderSourceConfig], *, share: float) -> tuple[Sources, list[Record]]:
    """Split rows off for the round trip: every n-th image of the text sources, gone from all sources.

    An image's texts stay together, since they say the same thing.
    """
    every = round(1 / share)
    ids = sorted(
        {
            record.source_id
            for source, config in zip(train, configs, strict=True)
            if config.see == "text"
            for record in source
        }
    )
    chosen = set(ids[::every])
    held: dict[str, Record] = {}
    for source, config in zip(train, configs, strict=True):
        held |= {one.source_id: one for one in source if config.see == "text" and one.source_id in chosen}
    return [[one for one in source if one.source_id not in chosen] for source in train], list(held.values())


def _with_texts(record: Record, texts: tuple[str, ...]) -> Record:
    return record if texts == record.texts else replace(record, texts=texts)
