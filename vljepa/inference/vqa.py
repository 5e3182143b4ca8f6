"""Closed visual question answering: the choice whose text is nearest to the embedding predicted under the question.

A model that was trained on answers of unequal frequency also knows how frequent they were (`calibration.answers`).
"""

from __future__ import annotations

from collections.abc import Sequence

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError
from vljepa.inference.candidates import Chances, Prediction, as_list, check_candidates, check_question, choose
from vljepa.inference.embed import Embedder
from vljepa.inference.reading import OnBroken, Progress
from vljepa.metrics.classification import softmax
from vljepa.processing.answers import prior_scores
from vljepa.processing.processor import ImageInput, VLJEPAProcessor


def ask(
    model: VLJEPA,
    processor: VLJEPAProcessor,
    images: ImageInput | Sequence[ImageInput],
    *,
    question: str,
    choices: Sequence[str],
    min_confidence: float = 0.0,
    answer_prior: bool | None = None,
    frames: int | None = None,
    progress: Progress | None = None,
    on_broken: OnBroken | None = None,
) -> list[Prediction]:
    """Answer a question about each image with one of `choices`, with calibrated probabilities.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
        images: One image or many: files, PIL images, arrays, tensors or bytes (see `ImageInput`); videos too, for a
            model that has learned from clips.
        question: In plain words; it becomes the query.
        choices: At least two possible answers.
        min_confidence: Below this probability the label is None: the model abstains.
        answer_prior: Whether the frequencies of the model's training answers count. None: where all `choices` are among
            these answers, as in the training's own questions; your own choices are all alike likely beforehand.
        frames: Frames of each video; None for as many as the model was trained with.
        progress: Called with the number of images done since the last call.
        on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.

    Returns:
        One prediction per readable image, in order; its `label` is the answer.

    Raises:
        ConfigError: `question`, `choices` or `min_confidence` is not usable, or `answer_prior` is asked of a model that
            has none.
        ImageError: An image cannot be read and there is no `on_broken`.

    Example:
        >>> [answer] = ask(model, processor, "a.jpg", question="a cat?", choices=["yes", "no"])  # doctest: +SKIP
        >>> answer.label, answer.confidence  # doctest: +SKIP
        ('yes', 0.88)
    """
    check_question(question)
    answers = check_candidates(choices, what="choices")
    calibration = model.config.calibration
    if answer_prior and calibration.answers is None:
        raise ConfigError(
            "answer_prior = True, and this model has no frequencies of answers.",
            fix="train it with a validation source of questions (task: vqa), or leave answer_prior out.",
        )
    embedder = Embedder(model, processor, frames=frames)
    rows_MD = embedder.kept_texts(answers)
    offsets_M = prior_scores(calibration.answers, answers, wanted=answer_prior)
    temperature = calibration.temperature("ask", candidates=len(answers))
    return list(
        choose(
            embedder,
            as_list(images),
            candidates=answers,
            probabilities=lambda batch: Chances(softmax(batch.rows @ rows_MD.T + offsets_M, temperature=temperature)),
            query=question,
            min_confidence=min_confidence,
            progress=progress,
            on_broken=on_broken,
        )
    )
