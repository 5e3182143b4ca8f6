"""Open-vocabulary classification: the label whose text is nearest to the predicted embedding.

Where a label names a class of the X-Encoder's own classifier, what that says counts too (`vljepa.inference.naming`).
"""

from __future__ import annotations

from collections.abc import Sequence

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.inference.candidates import Prediction, as_list, check_candidates, choose
from vljepa.inference.embed import Embedder
from vljepa.inference.naming import Naming
from vljepa.inference.reading import OnBroken, Progress
from vljepa.processing.processor import ImageInput, VLJEPAProcessor


def classify(
    model: VLJEPA,
    processor: VLJEPAProcessor,
    images: ImageInput | Sequence[ImageInput],
    *,
    labels: Sequence[str],
    none: bool = False,
    templates: Sequence[str] | None = None,
    min_confidence: float = 0.0,
    frames: int | None = None,
    progress: Progress | None = None,
    on_broken: OnBroken | None = None,
) -> list[Prediction]:
    """Say which of `labels` each image shows, with calibrated probabilities.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
        images: One image or many: files, PIL images, arrays, tensors or bytes (see `ImageInput`); videos too, for a
            model that has learned from clips.
        labels: At least two names; templates turn each into texts.
        none: Whether it may be none of the labels: the prediction says how likely that is, and its label is None where
            it is more likely than one of them.
        templates: Texts in which `{}` is the name, whose embeddings are averaged ("a photo of a {}."); None for the
            model's own.
        min_confidence: Below this probability the label is None: the model abstains.
        frames: Frames of each video; None for as many as the model was trained with.
        progress: Called with the number of images done since the last call.
        on_broken: Called for an image that cannot be read, which is then left out; without it, that is an error.

    Returns:
        One prediction per readable image, in order.

    Raises:
        ConfigError: `labels` or `min_confidence` is not usable, or the model was not calibrated for `none`.
        ImageError: An image cannot be read and there is no `on_broken`.

    Example:
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
        >>> processor = VLJEPAProcessor.from_pretrained("mini")  # doctest: +SKIP
        >>> [guess] = classify(model, processor, "photo.jpg", labels=["cat", "dog", "horse"])  # doctest: +SKIP
        >>> guess.label, guess.confidence  # doctest: +SKIP
        ('cat', 0.97)
    """
    names = check_candidates(labels, what="labels")
    embedder = Embedder(model, processor, frames=frames)
    naming = Naming(embedder, names, none=none, rows=embedder.names(names, templates=templates))
    return list(
        choose(
            embedder,
            as_list(images),
            candidates=names,
            probabilities=lambda batch: naming.probabilities(batch.rows, batch.classes),
            query="",
            min_confidence=min_confidence,
            progress=progress,
            on_broken=on_broken,
        )
    )
