"""From an image's embedding to a calibrated choice among candidate texts: the shared half of `classify` and `ask`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedded, Embedder
from vljepa.inference.min_confidence import check_probability
from vljepa.inference.reading import OnBroken, Progress
from vljepa.processing.given import describe, is_image
from vljepa.processing.processor import ImageInput
from vljepa.processing.unicode_text import check_text


class Chances(NamedTuple):
    """Of M candidates for N images.

    Attributes:
        candidates_NM: Probability of each.
        none_N: Probability of none of them, where that was asked.
    """

    candidates_NM: NDArray[np.float64]
    none_N: NDArray[np.float64] | None = None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says about one image.

    Args:
        image: The image as it was given, as text.
        label: The likeliest candidate; None when its probability is below the asked minimum, or when none of them is
            more likely than one of them.
        confidence: Probability of the likeliest candidate, said or not.
        probabilities: Calibrated probability of every candidate, likeliest first. With `none` they sum to 1; those of
            a dual encoder that was trained with a sigmoid (SigLIP) are each by itself, and do not.
        none: Probability of none of the candidates, where that was asked; else None.
    """

    image: str
    label: str | None
    confidence: float
    probabilities: dict[str, float]
    none: float | None = None


def check_candidates(texts: object, *, what: str) -> list[str]:
    """Candidates without outer blanks.

    Raises:
        ConfigError: No list of texts, fewer than two, an empty one, one twice, or one that is not Unicode.
    """
    if isinstance(texts, str):
        raise ConfigError(
            f"{what} is the text {texts!r}, not a list.", fix=f"pass a list, such as [{texts!r}, 'other']."
        )
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise ConfigError(f"{what} is {texts!r}, not a list of texts.", fix="pass a list, such as ['cat', 'dog'].")
    cleaned = [check_text(text, what=f"an entry of {what}").strip() for text in texts]
    if "" in cleaned:
        raise ConfigError(f"{what} has an empty entry: {_few(cleaned)}.", fix="take the empty entry out.")
    twice = next((text for text, count in Counter(cleaned).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{what} has {twice!r} twice.", fix="name every candidate once.")
    if len(cleaned) < 2:
        raise ConfigError(
            f"{what} has {len(cleaned)} candidate(s): {cleaned}.", fix="give at least two to choose from."
        )
    return cleaned


def check_question(question: object) -> str:
    """A question that says something.

    Raises:
        ConfigError: As `check_text`, or it is empty.
    """
    asked = check_text(question, what="the question")
    if not asked.strip():
        raise ConfigError("the question is empty.", fix='ask something, such as "what colour is it?".')
    return asked


def _few(texts: Sequence[str], most: int = 8) -> str:
    return f"[{', '.join(map(repr, texts[:most]))}{', ...' if len(texts) > most else ''}]"


def choose(
    embedder: Embedder,
    images: Sequence[ImageInput],
    *,
    candidates: Sequence[str],
    probabilities: Callable[[Embedded], Chances],
    query: str,
    min_confidence: float,
    progress: Progress | None,
    on_broken: OnBroken | None,
) -> Iterator[Prediction]:
    """One prediction per readable image, in order; `probabilities` gives those of the candidates for a batch."""
    check_probability(min_confidence)
    for batch in embedder.embedded(images, query=query, progress=progress, on_broken=on_broken):
        chances = probabilities(batch)
        for number, (image, one) in enumerate(zip(batch.images, chances.candidates_NM, strict=True)):
            order = np.argsort(-one, kind="stable")
            ranked = {candidates[i]: float(one[i]) for i in order}
            best, confidence = next(iter(ranked.items()))
            nothing = None if chances.none_N is None else float(chances.none_N[number])
            is_named = confidence >= min_confidence and (nothing is None or nothing <= 0.5)
            yield Prediction(
                image=describe(image),
                label=best if is_named else None,
                confidence=confidence,
                probabilities=ranked,
                none=nothing,
            )


def as_list(images: ImageInput | Iterable[ImageInput]) -> list[ImageInput]:
    """One image or many, as a list; a batch of arrays or tensors is many.

    Raises:
        ConfigError: Neither.
    """
    if is_image(images):
        return [cast(ImageInput, images)]
    if isinstance(images, Mapping) or not isinstance(images, Iterable):
        raise ConfigError(
            f"images is of type {type(images).__name__}, neither an image nor a list of them.",
            fix="give a path, a PIL image, an array, a tensor, or a list of such.",
        )
    return list(images)
