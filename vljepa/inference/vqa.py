"""Closed visual question answering: the choice whose text is nearest to the embedding predicted under the question."""

from __future__ import annotations

from collections.abc import Sequence

from vljepa.inference.candidates import Prediction, as_list, check_candidates, check_question, choose
from vljepa.inference.embed import Embedder, OnBroken, Progress
from vljepa.models.modeling import VLJEPA
from vljepa.processing.processor import Picture, VLJEPAProcessor


def ask(
    model: VLJEPA,
    processor: VLJEPAProcessor,
    images: Picture | Sequence[Picture],
    *,
    question: str,
    choices: Sequence[str],
    min_confidence: float = 0.0,
    frames: int | None = None,
    progress: Progress | None = None,
    on_broken: OnBroken | None = None,
) -> list[Prediction]:
    """Answer a question about each picture with one of `choices`, with calibrated probabilities.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
        images: One picture or many: files, PIL images, arrays, tensors or bytes (see `Picture`); videos too, for a
            model that has learned from clips.
        question: In plain words; it becomes the query.
        choices: At least two possible answers.
        min_confidence: Below this probability the label is None: the model abstains.
        frames: Frames of each video; None for as many as the model was trained with.
        progress: Called with the number of pictures done since the last call.
        on_broken: Called for a picture that cannot be read, which is then left out; without it, that is an error.

    Returns:
        One prediction per readable picture, in order; its `label` is the answer.

    Raises:
        ConfigError: `question`, `choices` or `min_confidence` is not usable.
        ImageError: A picture cannot be read and there is no `on_broken`.

    Example:
        >>> [answer] = ask(model, processor, "a.jpg", question="a cat?", choices=["yes", "no"])  # doctest: +SKIP
        >>> answer.label, answer.confidence  # doctest: +SKIP
        ('yes', 0.88)
    """
    check_question(question)
    answers = check_candidates(choices, what="choices")
    embedder = Embedder(model, processor, frames=frames)
    return list(
        choose(
            embedder,
            as_list(images),
            candidates=answers,
            rows=embedder.kept_texts(answers),
            query=question,
            temperature=model.config.calibration.ask,
            min_confidence=min_confidence,
            progress=progress,
            on_broken=on_broken,
        )
    )
