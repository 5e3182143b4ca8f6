"""What both learners see: the same batches, held-out images and candidates; and what can be had without an image.

Shapes: N images, C candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.core.prepared import CAPTION_SOURCES, Captioned, read_captions
from eval.tasks.coco_classes import CLASSES, hits_in_truth, read_photos
from vljepa.data.collate import Collator, Group, Sample
from vljepa.metrics.captions import CiderD
from vljepa.models.types import Batch, Tokens
from vljepa.processing.text import normalise_text
from vljepa.processing.words import DecoderTokenizer

SPLITS = ("train", "validation", "test")


class Images(NamedTuple):
    """Held-out images of one source: their captions, classes and which are right [N, C], and a text of each."""

    paths: list[Path]
    references: list[tuple[str, ...]]
    classes: list[str]
    truth_NC: NDArray[np.bool_]
    texts: list[str]


def read_images(data: Path, photos: Path, *, split: str, style: str) -> dict[str, Images]:
    """Emoji of one style with the names of their split as classes, and photos with the 80 COCO classes."""
    emoji = [one for one in read_captions(data, "emoji", split) if one.style == style]
    objects = {f"coco:{one.image_id}": one.objects for one in read_photos(photos)}
    shown = [one for one in read_captions(data, "photos", split) if one.source_id in objects]
    names, same = [one.texts[0] for one in emoji], np.eye(len(emoji), dtype=bool)
    truth = np.array([[name in objects[one.source_id] for name in CLASSES] for one in shown])

    def images(rows: list[Captioned], classes: list[str], truth_NC: NDArray[np.bool_]) -> Images:
        paths, texts = [one.path for one in rows], [one.texts for one in rows]
        return Images(paths, texts, classes, truth_NC, [several[0] for several in texts])

    return {"emoji": images(emoji, names, same), "photos": images(shown, list(CLASSES), truth)}


def corpus(data: Path) -> list[str]:
    """All texts that are learned from or scored, of all splits: what the token VLM must be able to write."""
    splits = [read_captions(data, source, split) for source in CAPTION_SOURCES for split in SPLITS]
    return [*CLASSES, *(text for rows in splits for row in rows for text in row.texts)]


@dataclass(frozen=True, kw_only=True)
class WordBatch(Batch):
    """A batch with the targets as the token VLM's ids besides."""

    words: Tokens | None = None


class WithWords:
    """A collator whose batches also hold the targets as the token VLM's ids; longer ones are cut."""

    def __init__(self, collator: Collator, tokenizer: DecoderTokenizer, *, max_tokens: int) -> None:
        self.collator, self.tokenizer, self.max_tokens = collator, tokenizer, max_tokens

    def __call__(self, samples: Sequence[Sample], *, gate_only: bool = False) -> Group:
        """Group of samples."""
        group = self.collator(samples, gate_only=gate_only)
        assert group.size == len(samples), "an image was left out"
        ids, mask = self.tokenizer.encode([one.target for one in samples], max_tokens=self.max_tokens)
        return Group(WordBatch(**vars(group.batch), words=Tokens(ids, mask)))


def constant_captions(data: Path, test: dict[str, Images], validation: dict[str, Images]) -> dict[str, dict[str, Any]]:
    """By source, CIDEr-D of one training caption for all images: the most frequent ones, and the best on validation."""
    trained = {source: [one.texts for one in read_captions(data, source, "train")] for source in CAPTION_SOURCES}
    everything = [normalise_text(text) for rows in trained.values() for texts in rows for text in texts]
    found: dict[str, dict[str, Any]] = {}
    for source, images in test.items():
        scorer, chooser = CiderD(images.references), CiderD(validation[source].references)
        frequent = Counter(normalise_text(text) for texts in trained[source] for text in texts)
        chosen = {
            "most frequent of all": Counter(everything).most_common(1)[0][0],
            "most frequent of the source": frequent.most_common(1)[0][0],
            "best on validation": max(frequent, key=lambda text: _mean(chooser, text)),
        }
        found[source] = {name: {"caption": text, "cider": _mean(scorer, text)} for name, text in chosen.items()}
    return found


def constant_ranking(data: Path, photos: Path, test: Images) -> dict[str, list[float]]:
    """Top-1 and top-5 hits per test photo of the classes in the order of their frequency in the training photos."""
    trained = {one.source_id for one in read_captions(data, "photos", "train")}
    seen = Counter(
        name for one in read_photos(photos) if f"coco:{one.image_id}" in trained for name in sorted(one.objects)
    )
    order = [name for name, _ in seen.most_common()]
    scores_C = np.array([-order.index(name) if name in order else -len(CLASSES) for name in CLASSES], dtype=np.float32)
    scores_NC = np.tile(scores_C, (len(test.paths), 1))
    return {f"top{k}": hits_in_truth(scores_NC, test.truth_NC, k=k).astype(float).tolist() for k in (1, 5)}


def _mean(scorer: CiderD, text: str) -> float:
    return float(scorer.scores([text] * len(scorer)).mean())
