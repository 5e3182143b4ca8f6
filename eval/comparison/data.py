"""What both learners see: the same batches, the same held-out pictures, the same candidates.

Shapes: N pictures, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.mini.coco import CLASSES, read_photos
from eval.mini.data import CAPTION_SOURCES, read_captions
from vljepa.data.collate import Batch, Collator, Sample
from vljepa.metrics.retrieval import TIE
from vljepa.processing.words import DecoderTokenizer


@dataclass(frozen=True)
class Pictures:
    """Held-out pictures of one source.

    Args:
        paths: The pictures.
        references: Right captions of each.
        classes: Candidates of the classification.
        truth_NC: Which of them are right.
        texts: One caption of each picture, the pool of the retrieval; the classes where those are the captions.
    """

    paths: list[Path]
    references: list[tuple[str, ...]]
    classes: list[str]
    truth_NC: NDArray[np.bool_]
    texts: list[str]


def read_pictures(data: Path, photos: Path, *, split: str, style: str) -> dict[str, Pictures]:
    """Emoji of one style with the names of their split as classes, and photos with the 80 COCO classes.

    Args:
        data: Prepared folder.
        photos: Folder with photos.jsonl, for the annotated objects.
        split: Of both.
        style: Of the emoji.
    """
    emoji = [one for one in read_captions(data, "emoji", split) if one.style == style]
    names = [one.texts[0] for one in emoji]
    objects = {f"coco:{one.image_id}": one.objects for one in read_photos(photos)}
    shown = [one for one in read_captions(data, "photos", split) if one.source_id in objects]
    return {
        "emoji": Pictures(
            [one.path for one in emoji], [one.texts for one in emoji], names, np.eye(len(names), dtype=bool), names
        ),
        "photos": Pictures(
            [one.path for one in shown],
            [one.texts for one in shown],
            list(CLASSES),
            np.array([[name in objects[one.source_id] for name in CLASSES] for one in shown]),
            [one.texts[0] for one in shown],
        ),
    }


def corpus(data: Path) -> list[str]:
    """All texts that are learned from or scored, of all splits: what the token VLM must be able to write."""
    splits = [read_captions(data, source, split) for source in CAPTION_SOURCES for split in _SPLITS]
    return [*CLASSES, *(text for rows in splits for row in rows for text in row.texts)]


class WithWords:
    """A collator whose batches also hold the targets as the token VLM's ids: `word_ids` and `word_mask` [B, L].

    Args:
        collator: Makes the batches; all pictures are readable.
        tokenizer: Of the token VLM.
        max_tokens: Longer targets are cut.
    """

    def __init__(self, collator: Collator, tokenizer: DecoderTokenizer, *, max_tokens: int) -> None:
        self.collator, self.tokenizer, self.max_tokens = collator, tokenizer, max_tokens

    def __call__(self, samples: Sequence[Sample], *, gate_only: bool = False) -> Batch:
        """Batch of samples."""
        batch = self.collator(samples, gate_only=gate_only)
        assert batch.size == len(samples), "a picture was left out"
        ids, mask = self.tokenizer.encode([one.target for one in samples], max_tokens=self.max_tokens)
        batch.tensors |= {"word_ids": ids, "word_mask": mask}
        return batch


def hits_in_truth(scores_NC: NDArray[np.float32], truth_NC: NDArray[np.bool_], *, k: int) -> NDArray[np.bool_]:
    """Whether a right candidate is among the best k; a wrong one that scores as high stands before it."""
    right_N = np.where(truth_NC, scores_NC, -np.inf).max(axis=1)
    ahead_NC = ~(scores_NC < (right_N - TIE)[:, None]) & ~truth_NC
    hits: NDArray[np.bool_] = ahead_NC.sum(axis=1) < k
    return hits


_SPLITS = ("train", "validation", "test")
