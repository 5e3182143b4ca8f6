"""Quality against decodes: each annotation is matched to a decode, CIDEr-D over the pairs.

The paper matches the decode nearest in time. Where in a shot its annotation lies then matters: decodes at the middle
of a segment are near an annotation at the middle of the shot, and may be farther than a neighbour's from one at its
edge. So there are three protocols, of which the first is the paper's on our streams.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from eval.tasks.made.methods import Decodes
from eval.tasks.made.streams import Placement, Stream
from vljepa.metrics.captions import CiderD
from vljepa.metrics.selective import covering, nearest

Match = Literal["nearest", "covering"]
PROTOCOLS: dict[str, tuple[Placement, Match]] = {
    "middle, nearest": ("middle", "nearest"),
    "random, nearest": ("random", "nearest"),
    "random, covering": ("random", "covering"),
}
"""Where a shot's annotation is, and the decode that it is matched to: the nearest, or that of the segment around it."""
MAIN = "middle, nearest"
BLOCK = 2048


class Scorer:
    """Scores the decodes of a stream; every different row is decoded once.

    Args:
        references: Captions of each picture; the weights of CIDEr-D come from them, once for all streams.
        decode: From rows [N, D] to texts.
        kept: File for the texts, one JSON line each, so that another run of the same decoder goes on from there.
    """

    def __init__(
        self,
        references: Sequence[Sequence[str]],
        *,
        decode: Callable[[np.ndarray], list[str]],
        kept: Path | None = None,
    ) -> None:
        self._cider = CiderD(references)
        self._decode = decode
        self._kept = kept
        self._texts = {} if kept is None else _read_texts(kept)
        self._scores: dict[tuple[int, str], float] = {}

    def prepare(self, decodes: Sequence[Decodes]) -> None:
        """Decode what some streams will need, in large batches."""
        new = {key: row for one in decodes for row in one.rows if (key := _key(row)) not in self._texts}
        keys, rows = list(new), list(new.values())
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            written = dict(zip(block, self._decode(np.stack(rows[start : start + BLOCK])), strict=True))
            self._texts |= written
            if self._kept is not None:
                self._kept.parent.mkdir(parents=True, exist_ok=True)
                with self._kept.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps([key, text]) + "\n" for key, text in written.items())

    def score(self, stream: Stream, decodes: Decodes, *, protocol: str = MAIN) -> float:
        """Mean CIDEr-D over the stream's annotations."""
        placed, match = PROTOCOLS[protocol]
        texts = [self._texts[_key(row)] for row in decodes.rows]
        annotations = stream.annotations(placed)
        total = 0.0
        for time, picture in annotations:
            place = nearest(decodes.times, time) if match == "nearest" else covering(decodes.starts, time)
            total += self._score(picture, texts[place])
        return total / len(annotations)

    def _score(self, picture: int, text: str) -> float:
        key = (picture, text)
        if key not in self._scores:
            self._scores[key] = self._cider.score(picture, text)
        return self._scores[key]


def _key(row: np.ndarray) -> str:
    return hashlib.blake2b(row.tobytes(), digest_size=12).hexdigest()


def _read_texts(file: Path) -> dict[str, str]:
    """Kept texts; a last line that a killed run left unfinished is not one."""
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").split("\n")
    if lines[-1]:
        file.write_text("".join(line + "\n" for line in lines[:-1]), encoding="utf-8")
    return dict(json.loads(line) for line in lines[:-1])
