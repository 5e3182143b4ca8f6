"""The kinds of work that the model's thread does: what may go through the model together, and how.

Shapes: N items of a batch, D width of the embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from torch import Tensor

from vljepa.inference.clips import ReadImage
from vljepa.inference.pipeline import Images, Pipeline
from vljepa.inference.words import Task
from vljepa.serving.batching import Kind

TEXT_BATCH = 64


class Look(NamedTuple):
    """An image to look at.

    Attributes:
        pixels: [1, T, C, H, W].
        query: What it is asked; empty means the model's caption prompt.
        prompt: What the client wrote, whose tokens count.
    """

    pixels: Tensor
    query: str = ""
    prompt: str = ""


class WordsOfOne(NamedTuple):
    """Words about one image, with the tokens of its prompt and of the words."""

    text: str
    confidence: float | None
    read: int
    written: int


class Kinds:
    """Kinds of work of one model; to be run by one thread.

    Attributes:
        texts: From texts to their rows [D] and how many tokens were read.
        images: From `Look` to rows [D].
        captions: From `Look` to `WordsOfOne`.
        answers: The same, for questions.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._embedder = pipeline.embedder
        most = self._embedder.batch_size
        self.texts = Kind("texts", self._run_texts, TEXT_BATCH)
        self.images = Kind("images", self._run_images, most)
        self.captions = Kind("captions", lambda looks: self._run_words(looks, "caption"), most)
        self.answers = Kind("answers", lambda looks: self._run_words(looks, "answer"), most)

    def classify(self, labels: Sequence[str], *, none: bool, min_confidence: float) -> Kind:
        """From pixels to `Prediction`: equal labels go together."""

        def run(pixels: list[Tensor]) -> Sequence[Any]:
            return self._pipeline.classify(_given(pixels), labels, none=none, min_confidence=min_confidence)

        return Kind("classify", run, self._embedder.batch_size, (tuple(labels), none, min_confidence))

    def choose(self, question: str, choices: Sequence[str]) -> Kind:
        """From pixels to `Prediction`: equal questions with equal choices go together."""

        def run(pixels: list[Tensor]) -> Sequence[Any]:
            return self._pipeline.ask(_given(pixels), question, choices)

        return Kind("choices", run, self._embedder.batch_size, (question, tuple(choices)))

    def _run_texts(self, texts: list[str]) -> Sequence[Any]:
        return list(zip(self._embedder.texts(texts), self._tokens(texts), strict=True))

    def _run_images(self, looks: list[Look]) -> Sequence[Any]:
        return list(self._embedder.answered([look.pixels for look in looks], _queries(looks))[0])

    def _run_words(self, looks: list[Look], task: Task) -> Sequence[Any]:
        rows, classes = self._embedder.answered([look.pixels for look in looks], _queries(looks))
        words = self._embedder.write(rows, classes, task=task)
        texts = [one.text or "" for one in words]
        counts = zip(self._tokens([look.prompt for look in looks]), self._tokens(texts), strict=True)
        return [
            WordsOfOne(text, one.confidence, read, written)
            for text, one, (read, written) in zip(texts, words, counts, strict=True)
        ]

    def _tokens(self, texts: list[str]) -> list[int]:
        """How many tokens the Y-Encoder reads of each text; none of an empty one."""
        counts: list[int] = self._pipeline.processor.targets(texts).mask_BL.sum(1).tolist()
        return [count if text else 0 for text, count in zip(texts, counts, strict=True)]


def _queries(looks: list[Look]) -> list[tuple[int, str]]:
    return [(place, look.query) for place, look in enumerate(looks)]


def _given(pixels: list[Tensor]) -> Images:
    return cast(Images, [ReadImage(one) for one in pixels])
