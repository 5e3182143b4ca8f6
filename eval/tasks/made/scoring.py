"""Quality against decodes: each annotation is matched to a decode, CIDEr-D over the pairs.

The paper matches the decode nearest in time. Where in a shot its annotation lies then matters: decodes at the middle
of a segment are near an annotation at the middle of the shot, and may be farther than a neighbour's from one at its
edge. So there are three protocols, of which the first is the paper's on our streams.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from eval.tasks.made.methods import Decodes, Watched
from eval.tasks.made.streams import Stream
from vljepa.inference.words import Words
from vljepa.metrics.captions import CiderD
from vljepa.metrics.selective import covering, nearest

PROTOCOLS = ("middle, nearest", "random, nearest", "random, covering")
"""Where a shot's annotation is, and the decode that it is matched to: the nearest, or that of the segment around it."""
MAIN = PROTOCOLS[0]
BLOCK = 2048


class Scorer:
    """Scores the decodes of a stream; every different row is decoded once.

    Args:
        references: Captions of each image; the weights of CIDEr-D come from them, once for all streams.
        decode: From rows [N, D], and classes [N, K] where there are some, to texts.
        kept: File for the texts, one JSON line each, so that another run of the same decoder goes on from there.
    """

    def __init__(
        self,
        references: Sequence[Sequence[str]],
        *,
        decode: Callable[[np.ndarray, np.ndarray | None], Sequence[Words]],
        kept: Path | None = None,
    ) -> None:
        self._score = cache(CiderD(references).score)
        self._decode = decode
        self._kept = kept
        self._texts = {} if kept is None else _read_texts(kept)

    def prepare(self, decodes: Sequence[Decodes]) -> None:
        """Decode what some streams will need, in large batches."""
        new: dict[str, tuple[np.ndarray, np.ndarray | None]] = {}
        for one in decodes:
            known: Any = [None] * len(one.rows) if one.classes is None else one.classes
            new |= {key: pair for pair in zip(one.rows, known, strict=True) if (key := _key(*pair)) not in self._texts}
        keys, pairs = list(new), list(new.values())
        for start in range(0, len(keys), BLOCK):
            block = slice(start, start + BLOCK)
            rows, classes = zip(*pairs[block], strict=True)
            told = None if classes[0] is None else np.stack(classes)
            texts = [words.text for words in self._decode(np.stack(rows), told)]
            written = dict(zip(keys[block], texts, strict=True))
            self._texts |= written
            if self._kept is not None:
                self._kept.parent.mkdir(parents=True, exist_ok=True)
                with self._kept.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps([key, text]) + "\n" for key, text in written.items())

    def score(self, watched: Watched, decodes: Decodes, *, protocol: str = MAIN) -> float:
        """Mean CIDEr-D over the stream's annotations."""
        placed, match = protocol.split(", ")
        stream, total = watched.stream, 0.0
        annotations = stream.annotations(placed) if isinstance(stream, Stream) else stream
        for time, image in annotations:
            place = nearest(decodes.times, time) if match == "nearest" else covering(decodes.starts, time)
            known = None if decodes.classes is None else decodes.classes[place]
            total += self._score(image, self._texts[_key(decodes.rows[place], known)])
        return total / len(annotations)


def _key(row: np.ndarray, classes: np.ndarray | None) -> str:
    return hashlib.blake2b(row.tobytes() + (b"" if classes is None else classes.tobytes()), digest_size=12).hexdigest()


def _read_texts(file: Path) -> dict[str, str]:
    """Kept texts; a last line that a killed run left unfinished is not one."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        file.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
    return dict(json.loads(line) for line in lines[:-1])
