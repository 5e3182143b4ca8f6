"""What every wire shape stands on: one model in a thread of its own, with caps on what a request may ask.

Shapes: N inputs, D width of the answer's embeddings.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vljepa.errors import ConfigError
from vljepa.inference.candidates import Prediction
from vljepa.inference.embed import Rows
from vljepa.inference.index import Hit, Index
from vljepa.inference.pipeline import Pipeline
from vljepa.inference.query import check_query
from vljepa.processing.unicode_text import check_text
from vljepa.serving.axes import principal_axes, shortened
from vljepa.serving.batching import Batcher, Job, Kind, too_slow
from vljepa.serving.errors import MissingError, RequestError, TooLargeError
from vljepa.serving.inputs import Address, Content, RequestImage, image_content, is_question
from vljepa.serving.kinds import Kinds, Look, WordsOfOne

MAX_TEXTS = 2048
MAX_IMAGES = 64
MAX_CHARACTERS = 100_000
TIMEOUT = 60.0
"""Seconds that a request may take."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """What was embedded for a request.

    Args:
        rows: [N, D] float32, of unit length.
        tokens: How many tokens the Y-Encoder read of its texts.
    """

    rows: Rows
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Description:
    """Words about the images of a request.

    Args:
        text: Of several images a line each, equal ones once.
        kind: "answer" to a question, or "caption".
        confidence: Of the least sure of them; None of a decoder for which that was not fitted.
        read: Tokens of the prompt.
        written: Tokens of the text.
    """

    text: str
    kind: str
    confidence: float | None
    read: int
    written: int


class Service:
    """A finished model for many clients.

    Args:
        pipeline: The model.
        name: What clients call it; of a folder, its last part.
        width: Pad embeddings with zeros to so many numbers, which leaves cosines as they are, for clients that take
            one width only; None for the model's own.
        index: What `search` looks through.
        fetch: From the address of an image to its bytes; None refuses addresses.
        timeout: Seconds that a request may take.
        batcher: Whose thread uses the model; None for one of its own.

    Raises:
        ConfigError: `width` is less than the model's.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        name: str,
        width: int | None = None,
        index: Index | None = None,
        fetch: Callable[[str], bytes] | None = None,
        timeout: float = TIMEOUT,
        batcher: Batcher | None = None,
    ) -> None:
        own = pipeline.model.config.embed_dim
        if width is not None and width < own:
            raise ConfigError(f"a width of {width} is less than the model's {own}.", fix=f"give {own} or more.")
        self.pipeline = pipeline
        self.name = Path(name).name if Path(name).exists() else name
        self.width = own if width is None else width
        self.timeout = timeout
        self.batcher = Batcher(patience=timeout) if batcher is None else batcher
        self._index = index
        self._fetch = fetch
        self._readers = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._kinds = Kinds(pipeline)
        self._axes_lock = threading.Lock()
        self._axes_DD: NDArray[np.float64] | None = None

    @property
    def has_words(self) -> bool:
        """Whether the model has a Y-Decoder."""
        return self.pipeline.model.y_decoder is not None

    @property
    def addresses(self) -> bool:
        """Whether images may be given by address."""
        return self._fetch is not None

    def image(self, given: object) -> Content:
        """An image as a request has it: base64, a data URL, or, where these are fetched, an address.

        Raises:
            RequestError: Anything else.
        """
        return image_content(given, addresses=self.addresses)

    def embed(self, inputs: Sequence[str | RequestImage], *, dimensions: int | None = None) -> Embedded:
        """Embeddings of unit length.

        Args:
            inputs: Texts and images, at least one.
            dimensions: Only so many numbers: the first along the principal axes of the space, of unit length again.

        Raises:
            RequestError: Nothing to embed, more `dimensions` than there are, or the model is too slow or gone.
            TooLargeError: More than the caps.
            VLJEPAError: A text that is not Unicode, or an image that cannot be read.
        """
        if dimensions is not None and not 1 <= dimensions <= self.width:
            raise RequestError(
                f"dimensions is {dimensions}, and embeddings of {self.name!r} have {self.width} numbers.",
                fix=f"ask for 1 to {self.width}, or leave dimensions out.",
            )
        deadline = time.monotonic() + self.timeout
        images = [one for one in inputs if isinstance(one, RequestImage)]
        texts = [_checked(one) for one in inputs if isinstance(one, str)]
        questions = [_checked(one.question) for one in images]
        if not inputs:
            raise RequestError("there is nothing to embed.", fix="send at least one text or image.")
        _check_count(len(texts), most=MAX_TEXTS, what="texts")
        are_texts = np.array([isinstance(one, str) for one in inputs])
        rows: Rows = np.zeros((len(inputs), self.width), dtype=np.float32)
        own = self.pipeline.model.config.embed_dim
        job = self.batcher.submit(self._kinds.texts, texts)
        try:
            contents = [one.content for one in images]
            seen = self._look(
                self._kinds.images, contents, lambda pixels, one: Look(pixels, questions[one]), deadline=deadline
            )
            read = job.result(deadline - time.monotonic())
        finally:
            job.abandon()
        if read:
            rows[are_texts, :own] = [row for row, _ in read]
        if seen:
            rows[~are_texts, :own] = seen
        if dimensions is not None:
            rows = rows[:, :dimensions] if dimensions >= own else shortened(rows[:, :own], self._axes(), dimensions)
        return Embedded(rows=rows, tokens=sum(tokens for _, tokens in read))

    def describe(self, images: Sequence[Content], prompt: str = "", *, asks: bool | None = None) -> Description:
        """Answer a question about each image, or describe each.

        Args:
            images: At least one.
            prompt: A question, or an instruction, which is passed over.
            asks: Whether it is a question; None for what it reads like.

        Raises:
            RequestError: No image, or the model is too slow or gone.
            TooLargeError: More than the caps.
            VLJEPAError: An image that cannot be read, or a model without words.
        """
        if not images:
            raise RequestError(
                "there is no image, and this model speaks about images only.", fix="send one as a data URL."
            )
        asks = is_question(_checked(prompt)) if asks is None else asks
        self.pipeline.embedder.require_words()
        query = prompt.strip() if asks else ""
        kind = self._kinds.answers if asks else self._kinds.captions
        found: list[WordsOfOne] = self._look(kind, images, lambda pixels, _: Look(pixels, query, prompt))
        known = [one.confidence for one in found if one.confidence is not None]
        lines = {one.text: one.written for one in found}
        return Description(
            text="\n".join(lines),
            kind="answer" if asks else "caption",
            confidence=min(known) if known else None,
            read=found[0].read,
            written=sum(lines.values()),
        )

    def ask(self, image: Content, question: str, choices: Sequence[str]) -> Prediction:
        """Answer with one of `choices`; errors as for `vljepa.ask`."""
        _check_count(len(choices), most=MAX_TEXTS, what="choices")
        kind = self._kinds.choose(_checked(question), [_checked(choice) for choice in choices])
        return self._predicted(kind, image)

    def classify(self, image: Content, labels: Sequence[str], *, none: bool, min_confidence: float) -> Prediction:
        """Say which label fits; errors as for `vljepa.classify`."""
        _check_count(len(labels), most=MAX_TEXTS, what="labels")
        names = [_checked(label) for label in labels]
        return self._predicted(self._kinds.classify(names, none=none, min_confidence=min_confidence), image)

    def search(self, query: str | RequestImage, **options: Any) -> list[Hit]:
        """The images and segments of the server's index that are nearest to a query.

        Args:
            query: A text, or an image.
            options: As for `vljepa.Index.nearest`, such as `k`.

        Raises:
            MissingError: The server has no index.
            VLJEPAError: As `embed`, an empty text, or options outside of their range.
        """
        if self._index is None:
            raise MissingError("this server has no index to search.", fix="start it with --index INDEX.")
        if isinstance(query, str):
            check_query(query)
        own = self.pipeline.model.config.embed_dim
        return self._index.nearest(self.embed([query]).rows[0, :own], **options)

    def close(self) -> None:
        """End the model's thread."""
        self.batcher.close()

    def _axes(self) -> NDArray[np.float64]:
        """The principal axes of the space, found at the first request that needs them."""
        with self._axes_lock:
            if self._axes_DD is None:
                self._axes_DD = principal_axes(self._all_texts)
            return self._axes_DD

    def _all_texts(self, texts: Sequence[str]) -> Rows:
        found = self.batcher.submit(self._kinds.texts, texts).result(self.timeout)
        return np.stack([row for row, _ in found])

    def _predicted(self, kind: Kind, image: Content) -> Prediction:
        [one] = self._look(kind, [image], lambda pixels, _: pixels)
        assert isinstance(one, Prediction)
        return one

    def _look(
        self,
        kind: Kind,
        images: Sequence[Content],
        item: Callable[[Tensor, int], Any],
        *,
        deadline: float | None = None,
    ) -> list[Any]:
        """Read images a few at a time, and have the model look at those that are read while the next are.

        Args:
            kind: The work.
            images: Files, or their addresses.
            item: What the work takes, from the pixels and the number of an image.
            deadline: By the monotonic clock; None for `timeout` from now.
        """
        _check_count(len(images), most=MAX_IMAGES, what="images")
        deadline = time.monotonic() + self.timeout if deadline is None else deadline
        jobs: list[Job] = []
        try:
            for start in range(0, len(images), kind.most):
                if len(jobs) > 1:
                    jobs[-2].result(deadline - time.monotonic())
                numbers = range(start, min(start + kind.most, len(images)))
                jobs.append(
                    self.batcher.submit(kind, [item(self._read(images[one], deadline), one) for one in numbers])
                )
            return [one for job in jobs for one in job.result(deadline - time.monotonic())]
        finally:
            for job in jobs:
                job.abandon()

    def _read(self, image: Content, deadline: float) -> Tensor:
        """Pixels [1, T, C, H, W], by few threads at once: an image of many pixels takes much memory."""
        if time.monotonic() > deadline:
            raise too_slow()
        if isinstance(image, Address):
            assert self._fetch is not None
            image = self._fetch(image.url)
        with self._readers:
            return self.pipeline.embedder.read(image)


def _check_count(count: int, *, most: int, what: str) -> None:
    if count > most:
        raise TooLargeError(f"there are {count} {what}, and at most {most} in one request.", fix="send fewer at once.")


def _checked(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise TooLargeError(
            f"a text has {len(text):,} characters, and at most {MAX_CHARACTERS:,}.", fix="send a shorter one."
        )
    return check_text(text, what="a text of the request")
