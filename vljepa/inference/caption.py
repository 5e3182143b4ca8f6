"""Words for images, read by the Y-Decoder: captions without a query, open answers with one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.inference.candidates import as_list
from vljepa.inference.embed import Embedder
from vljepa.inference.min_confidence import check_minimum
from vljepa.inference.reading import OnBroken, Progress
from vljepa.processing.given import describe
from vljepa.processing.processor import ImageInput, VLJEPAProcessor
from vljepa.processing.unicode_text import check_text


@dataclass(frozen=True)
class Caption:
    """What was said about an image.

    Args:
        image: The file.
        text: The words; None below the asked minimum confidence.
        confidence: Calibrated probability that they name what is there, or something wider, or answer the question;
            None of a decoder for which that was not fitted.
        agreement: Cosine of the embedding of the words, said or not, and the predicted embedding.
        embedding: The predicted embedding [D], unit norm.
    """

    image: str
    text: str | None
    confidence: float | None
    agreement: float
    embedding: NDArray[np.float32]


def caption(
    model: VLJEPA,
    processor: VLJEPAProcessor,
    images: ImageInput | Sequence[ImageInput],
    *,
    query: str = "",
    min_confidence: float = 0.0,
    frames: int | None = None,
    progress: Progress | None = None,
    on_broken: OnBroken | None = None,
    **options: Any,
) -> list[Caption]:
    """Describe images, or answer an open question about them.

    Args:
        model: A finished model with a Y-Decoder.
        processor: The processor that belongs to it.
        images: One image or many: files, PIL images, arrays, tensors or bytes (see `ImageInput`); videos too, for a
            model that has learned from clips.
        query: A question; empty means the model's caption prompt.
        min_confidence: Below this confidence the text is None: the model abstains.
        frames: Frames of each video; None for as many as the model was trained with.
        progress: Called with the number of images done since the last call.
        on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.
        options: As for `YDecoder.generate`, such as `num_beams`.

    Returns:
        One caption per readable image, in order.

    Raises:
        CheckpointError: The model has no Y-Decoder.
        ConfigError: An option is outside of its range, `query` is not a text, or the decoder has no confidence.
        ImageError: An image cannot be read and there is no `on_broken`.

    Example:
        >>> [captioned] = caption(model, processor, "cat.jpg")  # doctest: +SKIP
        >>> captioned.text  # doctest: +SKIP
        'a cat sitting on top of a bed'
    """
    return list(
        captions(
            Embedder(model, processor, frames=frames),
            as_list(images),
            query=query,
            min_confidence=min_confidence,
            progress=progress,
            on_broken=on_broken,
            **options,
        )
    )


def captions(
    embedder: Embedder,
    images: Sequence[ImageInput],
    *,
    query: str = "",
    min_confidence: float = 0.0,
    progress: Progress | None = None,
    on_broken: OnBroken | None = None,
    **options: Any,
) -> Iterator[Caption]:
    """The same, image by image, in batches of bounded memory."""
    embedder.require_words()
    check_text(query, what="the query")
    check_minimum(embedder.model, min_confidence, answers=bool(query))
    for batch in embedder.embedded(images, query=query, progress=progress, on_broken=on_broken):
        written = embedder.write(batch.rows, batch.classes, task="answer" if query else "caption", **options)
        agreements = (embedder.texts([one.text or " " for one in written]) * batch.rows).sum(1)
        for image, words, agreement, row in zip(batch.images, written, agreements, batch.rows, strict=True):
            yield Caption(
                image=describe(image),
                text=words.text if (words.confidence or 0.0) >= min_confidence else None,
                confidence=words.confidence,
                agreement=float(agreement),
                embedding=row,
            )
