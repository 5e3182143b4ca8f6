"""From a picture's embedding to a calibrated choice among candidate texts: the shared half of `classify` and `ask`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder, OnBroken, Progress, Rows
from vljepa.metrics.classification import softmax
from vljepa.processing.processor import Picture


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model says about one picture.

    Args:
        image: The picture as it was given, as text.
        label: The likeliest candidate, or None when its probability is below the asked minimum.
        confidence: Probability of the likeliest candidate, said or not.
        probabilities: Calibrated probability of every candidate, likeliest first; they sum to 1.
    """

    image: str
    label: str | None
    confidence: float
    probabilities: dict[str, float]


def check_candidates(texts: Sequence[str], *, what: str) -> list[str]:
    """Candidates without outer blanks.

    Raises:
        ConfigError: Fewer than two, an empty one, or one twice.
    """
    if isinstance(texts, str):
        raise ConfigError(
            f"{what} is the text {texts!r}, not a list.", fix=f"pass a list, such as [{texts!r}, 'other']."
        )
    cleaned = [text.strip() for text in texts]
    if "" in cleaned:
        raise ConfigError(f"{what} has an empty entry: {cleaned}.", fix="take the empty entry out.")
    twice = next((text for text in cleaned if cleaned.count(text) > 1), None)
    if twice is not None:
        raise ConfigError(f"{what} has {twice!r} twice.", fix="name every candidate once.")
    if len(cleaned) < 2:
        raise ConfigError(
            f"{what} has {len(cleaned)} candidate(s): {cleaned}.", fix="give at least two to choose from."
        )
    return cleaned


def choose(
    embedder: Embedder,
    images: Sequence[Picture],
    *,
    candidates: Sequence[str],
    rows: Rows,
    query: str,
    temperature: float,
    min_confidence: float,
    progress: Progress | None,
    on_broken: OnBroken | None,
    offsets: Rows | None = None,
) -> Iterator[Prediction]:
    """One prediction per readable picture, in order.

    `rows` are the [M, D] embeddings of the M candidates; `offsets` [M] are added to their cosines.
    """
    if not 0 <= min_confidence <= 1:
        raise ConfigError(
            f"a minimum confidence of {min_confidence} is not a probability.", fix="give a number from 0 to 1."
        )
    for kept, predicted in embedder.batches(images, query=query, progress=progress, on_broken=on_broken):
        scores = predicted @ rows.T if offsets is None else predicted @ rows.T + offsets
        for image, probabilities in zip(kept, softmax(scores, temperature=temperature), strict=True):
            order = np.argsort(-probabilities, kind="stable")
            ranked = {candidates[i]: float(probabilities[i]) for i in order}
            best, confidence = next(iter(ranked.items()))
            yield Prediction(
                image=name_of(image),
                label=best if confidence >= min_confidence else None,
                confidence=confidence,
                probabilities=ranked,
            )


def as_list(images: Picture | Sequence[Picture]) -> list[Picture]:
    """One picture or many, as a list."""
    return [images] if isinstance(images, str | Path | Image.Image) else list(images)


def name_of(image: Picture) -> str:
    """What to call a picture in a table."""
    if isinstance(image, Image.Image):
        return str(getattr(image, "filename", "") or "<image>")
    return str(image)
