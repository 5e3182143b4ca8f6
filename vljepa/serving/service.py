"""What every wire shape stands on: one model, used by one thread at a time, with caps on what a request may ask.

Shapes: N inputs, D width of the answer's embeddings.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vljepa.errors import ConfigError
from vljepa.inference.candidates import Prediction
from vljepa.inference.embed import Rows
from vljepa.inference.pipeline import Pipeline
from vljepa.processing.unicode_text import check_text
from vljepa.serving.errors import RequestError, TooLargeError
from vljepa.serving.inputs import RequestImage, is_question

MAX_TEXTS = 2048
MAX_IMAGES = 64
MAX_CHARACTERS = 100_000


@dataclass(frozen=True, kw_only=True)
class Description:
    """Words about the images of a request.

    Args:
        text: Of several images a line each, equal ones once.
        kind: "answer" to a question, or "caption".
        confidence: Of the least sure of them; None of a decoder for which that was not fitted.
    """

    text: str
    kind: str
    confidence: float | None


class Service:
    """A finished model for many clients.

    Args:
        pipeline: The model.
        name: What clients call it; of a folder, its last part.
        width: Pad embeddings with zeros to so many numbers, which leaves cosines as they are, for clients that take
            one width only; None for the model's own.

    Raises:
        ConfigError: `width` is less than the model's.
    """

    def __init__(self, pipeline: Pipeline, *, name: str, width: int | None = None) -> None:
        own = pipeline.model.config.embed_dim
        if width is not None and width < own:
            raise ConfigError(f"a width of {width} is less than the model's {own}.", fix=f"give {own} or more.")
        self.pipeline = pipeline
        self.name = Path(name).name if Path(name).exists() else name
        self.width = own if width is None else width
        self._lock = threading.Lock()

    @property
    def has_words(self) -> bool:
        """Whether the model has a Y-Decoder."""
        return self.pipeline.model.y_decoder is not None

    def embed(self, inputs: Sequence[str | RequestImage], *, dimensions: int | None = None) -> Rows:
        """Embeddings [N, D] of unit length.

        Args:
            inputs: Texts and images, at least one.
            dimensions: Only the first so many numbers, made of unit length again.

        Raises:
            RequestError: Nothing to embed, or more `dimensions` than there are.
            TooLargeError: More than the caps.
            VLJEPAError: A text that is not Unicode, or an image that cannot be read.
        """
        if dimensions is not None and not 1 <= dimensions <= self.width:
            raise RequestError(
                f"dimensions is {dimensions}, and embeddings of {self.name!r} have {self.width} numbers.",
                fix=f"ask for 1 to {self.width}, or leave dimensions out.",
            )
        images = [one for one in inputs if isinstance(one, RequestImage)]
        texts = [_checked(one) for one in inputs if isinstance(one, str)]
        if not inputs:
            raise RequestError("there is nothing to embed.", fix="send at least one text or image.")
        _check_count(len(texts), most=MAX_TEXTS, what="texts")
        _check_count(len(images), most=MAX_IMAGES, what="images")
        are_texts = np.array([isinstance(one, str) for one in inputs])
        rows: Rows = np.zeros((len(inputs), self.width), dtype=np.float32)
        own = self.pipeline.model.config.embed_dim
        embedder = self.pipeline.embedder
        with self._lock:
            rows[are_texts, :own] = embedder.texts(texts)
            rows[~are_texts, :own] = embedder.pairs(
                [one.content for one in images], [_checked(one.question) for one in images]
            )
        return rows if dimensions is None else _cut(rows, dimensions)

    def describe(self, images: Sequence[bytes], prompt: str = "", *, asks: bool | None = None) -> Description:
        """Answer a question about each image, or describe each.

        Args:
            images: At least one.
            prompt: A question, or an instruction, which is passed over.
            asks: Whether it is a question; None for what it reads like.

        Raises:
            RequestError: No image.
            TooLargeError: More than the caps.
            VLJEPAError: An image that cannot be read, or a model without words.
        """
        if not images:
            raise RequestError(
                "there is no image, and this model speaks about images only.", fix="send one as a data URL."
            )
        _check_count(len(images), most=MAX_IMAGES, what="images")
        asks = is_question(_checked(prompt)) if asks is None else asks
        given = list(images)
        with self._lock:
            found = self.pipeline.ask(given, prompt.strip()) if asks else self.pipeline.caption(given)
        known = [one.confidence for one in found if one.confidence is not None]
        return Description(
            text="\n".join(dict.fromkeys(one.text or "" for one in found)),
            kind="answer" if asks else "caption",
            confidence=min(known) if known else None,
        )

    def ask(self, image: bytes, question: str, choices: Sequence[str]) -> Prediction:
        """Answer with one of `choices`; errors as for `vljepa.ask`."""
        _check_count(len(choices), most=MAX_TEXTS, what="choices")
        with self._lock:
            [one] = self.pipeline.ask([image], _checked(question), [_checked(choice) for choice in choices])
        return one

    def classify(self, image: bytes, labels: Sequence[str], *, none: bool, min_confidence: float) -> Prediction:
        """Say which label fits; errors as for `vljepa.classify`."""
        _check_count(len(labels), most=MAX_TEXTS, what="labels")
        names = [_checked(label) for label in labels]
        with self._lock:
            [one] = self.pipeline.classify([image], names, none=none, min_confidence=min_confidence)
        return one

    def tokens(self, texts: Sequence[str]) -> int:
        """How many tokens the Y-Encoder reads of texts."""
        if not texts:
            return 0
        with self._lock:
            return int(self.pipeline.processor.targets(list(texts)).mask_BL.sum())


def _cut(rows: Rows, dimensions: int) -> Rows:
    some = rows[:, :dimensions]
    lengths = np.linalg.norm(some, axis=1, keepdims=True)
    return np.asarray(some / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def _check_count(count: int, *, most: int, what: str) -> None:
    if count > most:
        raise TooLargeError(f"there are {count} {what}, and at most {most} in one request.", fix="send fewer at once.")


def _checked(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise TooLargeError(
            f"a text has {len(text):,} characters, and at most {MAX_CHARACTERS:,}.", fix="send a shorter one."
        )
    return check_text(text, what="a text of the request")
