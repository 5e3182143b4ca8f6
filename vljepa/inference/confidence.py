"""How sure a Y-Decoder is of what it says, fitted at the end of its training on its own validation images.

A caption is right if it names what the reference captions name, or something wider; an answer, word for word. Images
whose references have no names say nothing about that and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vljepa.configs import ChoiceConfig
from vljepa.inference.embed import Embedder
from vljepa.inference.words import Rows, Task, Writer
from vljepa.metrics.classification import fit_logistic
from vljepa.processing.nouns import classes_in, holds
from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.text import normalise_text
from vljepa.validation.naming import LEAST, MOST, names_in_texts

EACH = 8
"""Right ones and wrong ones that there must be."""


@dataclass(frozen=True)
class Referenced:
    """Validation images, or questions about them.

    Args:
        rows_ND: Their predicted embeddings.
        classes_NK: What the X-Encoder's own classifier says of them; None without one.
        texts: Right texts of each.
        queries: The question of each; empty for captions.
    """

    rows_ND: Rows
    classes_NK: Rows | None
    texts: Sequence[Sequence[str]]
    queries: Sequence[str]


def fit_confidence(embedder: Embedder, sources: Sequence[Referenced]) -> tuple[ChoiceConfig, list[str]]:
    """Logistic regressions of whether captions, and answers, are right.

    Args:
        embedder: The model with the decoder.
        sources: Validation data; the decoder was not trained on them.

    Returns:
        The decoder's choice with `confidence` and `answer.confidence`, None where there is too little to fit them on;
        and what was done, in words.
    """
    decoder = embedder.model.y_decoder
    assert decoder is not None
    writer = Writer(embedder.model, embedder.processor, embed=embedder.texts, kept=embedder.kept_texts)
    notes: list[str] = []
    weights: dict[Task, list[float] | None] = {}
    tasks: tuple[Task, ...] = ("caption", "answer")
    for task in tasks:
        values, right = _marked(writer, sources, task)
        count = len(right)
        weights[task] = None
        if count < LEAST or min(sum(right), count - sum(right)) < EACH:
            what = "names in their references" if task == "caption" else "questions"
            notes.append(
                f"no confidence of {task}s: {count} validation images with {what}, {sum(right)} right; it takes "
                f"{LEAST}, of which {EACH} are right and {EACH} are not."
            )
            continue
        kept = 5 if task == "caption" else 3
        weights[task] = fit_logistic(np.array(values)[:, :kept], np.array(right, dtype=float))
        notes.append(f"confidence of {task}s: fitted on {count} validation images, {sum(right)} of them right.")
    choice = decoder.config.choice
    answer = choice.answer.model_copy(update={"confidence": weights["answer"]})
    return choice.model_copy(update={"confidence": weights["caption"], "answer": answer}), notes


def names_it(caption: str, names: set[str], table: Taxonomy) -> bool:
    """Whether a caption holds one of some names, or a noun that is wider than one of them.

    Example:
        >>> table = Taxonomy.of("imagenet-1k")
        >>> [names_it(text, {"beagle"}, table) for text in ("two beagles", "a dog on a bed", "a husky", "a cat")]
        [True, True, False, False]
    """
    mentioned = [set(classes) for classes in classes_in(caption, table)]
    wanted = [set(table.classes_of(name)) for name in names]
    return holds(caption, names) or any(own and own <= classes for own in wanted for classes in mentioned)


def _marked(writer: Writer, sources: Sequence[Referenced], task: Task) -> tuple[list[list[float]], list[bool]]:
    """What speaks for the chosen text of every image, and whether it is right."""
    table = Taxonomy.of("imagenet-1k")
    values: list[list[float]] = []
    right: list[bool] = []
    for source in sources:
        names = [names_in_texts(texts, table)[0] if task == "caption" else set(texts) for texts in source.texts]
        wanted = [
            place for place, query in enumerate(source.queries) if bool(query) == (task == "answer") and names[place]
        ]
        wanted = wanted[:: -(-len(wanted) // MOST)] if wanted else []
        classes_NK = None if source.classes_NK is None else source.classes_NK[wanted]
        weighed = writer.weighed(source.rows_ND[wanted], classes_NK, task=task)
        for place, (texts, evidence) in zip(wanted, weighed, strict=True):
            best = writer.best(evidence, task)
            values.append(evidence[best].values())
            if task == "caption":
                right.append(names_it(texts[best], names[place], table))
            else:
                right.append(normalise_text(texts[best]) in {normalise_text(one) for one in names[place]})
    return values, right
