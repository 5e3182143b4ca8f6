"""Do captions name what is there? Images of one thing each, with its names and wider names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.core.charts import Line, lines
from eval.core.embedding import FileEmbedder
from eval.core.result import Context, Result
from eval.core.statistics import interval
from eval.tasks.captions import controlled
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.inference.naming import Naming
from vljepa.inference.words import Words, stutters
from vljepa.processing.evidence import taxonomy_of
from vljepa.processing.nouns import with_article
from vljepa.processing.taxonomy import Taxonomy
from vljepa.validation.naming import name_marks

PRECISION = 0.9
GROUPS = (
    *("fish", "reptile", "insect", "primate", "bird", "dog", "cat", "food", "vehicle", "garment"),
    *("musical instrument", "furniture", "building", "container", "device"),
)


def measure(context: Context) -> Result:
    """Shares of captions with a name, with a name or a wider one, and with a wrong name of the encoder's classes.

    Beside the captions: the name that `classify` chooses and the encoder's own classifier, as captions; and captions of
    another image's embedding and classes, of the embedding alone, and of no embedding.
    """
    found, embedder = context.found, context.embedder
    embedder.require_words()
    samples = list(found.rows("rows"))
    paths = [row.file("image") for row in samples]
    names = [[str(name) for name in row["names"]] for row in samples]
    wider = [[str(name) for name in row["wider"]] for row in samples]
    rows_ND, classes_NK = FileEmbedder(embedder).answered([(path, "") for path in paths])
    written = controlled(embedder, rows_ND, classes_NK) | _untold(embedder, rows_ND, classes_NK)
    captions = {name: [one.text for one in several] for name, several in written.items()}
    captions |= _names(embedder, rows_ND, classes_NK)
    taxonomy = taxonomy_of(embedder.model.config.residual) or Taxonomy.of("imagenet-1k")
    marks = {name: name_marks(texts, names, wider, taxonomy) for name, texts in captions.items()}
    confidence = np.array([one.confidence or 0.0 for one in written["model"]])
    items = [str(number) for number in range(len(samples))]
    return Result(
        metrics={
            name: {key: interval(values, items) for key, values in several.items()} | _flaws(captions[name], embedder)
            for name, several in marks.items()
        },
        rows=len(samples),
        pool=[{"images": len(samples)}],
        examined=[Record(path, tuple(one)) for path, one in zip(paths, names, strict=True)],
        more={
            "coverage": coverage(confidence, marks["model"]["lenient"]),
            "deciles": _deciles(confidence, marks["model"]),
            "groups": _groups(names, marks["model"], taxonomy),
        },
    )


def _untold(
    embedder: Embedder, rows_ND: NDArray[np.float32], classes_NK: NDArray[np.float32] | None
) -> dict[str, list[Words]]:
    """The same captions without any entity."""
    if classes_NK is None:
        return {}
    return {"no entities": embedder.write(rows_ND, np.zeros_like(classes_NK))}


def _names(
    embedder: Embedder, rows_ND: NDArray[np.float32], classes_NK: NDArray[np.float32] | None
) -> dict[str, list[str]]:
    """Ceilings: the name that `classify` chooses, and that of the encoder's own classifier."""
    taxonomy = taxonomy_of(embedder.model.config.residual)
    if taxonomy is None or classes_NK is None:
        return {}
    labels = taxonomy.names()
    chosen = Naming(embedder, labels).probabilities(rows_ND, classes_NK).candidates_NM.argmax(1)
    return {
        name: [with_article(labels[one]) for one in places]
        for name, places in (("classify", chosen), ("classifier", classes_NK.argmax(1)))
    }


def _flaws(texts: Sequence[str], embedder: Embedder) -> dict[str, float]:
    words = embedder.processor.words
    assert words is not None
    return {
        "stutters": float(np.mean([stutters(text) for text in texts])),
        "unknown words": float(np.mean([not words.knows(text) for text in texts])),
        "distinct": len(set(texts)) / len(texts),
    }


def coverage(confidence_N: NDArray[np.float64], right_N: NDArray[np.float64]) -> dict[str, Any]:
    """Precision at every coverage, the surest first, and the largest coverage at which it is `PRECISION`."""
    order = np.argsort(-confidence_N, kind="stable")
    precision = np.cumsum(right_N[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(precision >= PRECISION)
    kept = 0 if len(enough) == 0 else int(enough[-1]) + 1
    step = max(1, len(order) // 50)
    return {
        "at_precision": PRECISION,
        "coverage": kept / len(order),
        "least_confidence": float(confidence_N[order[kept - 1]]) if kept else None,
        "curve": [[(place + 1) / len(order), float(precision[place])] for place in range(step - 1, len(order), step)],
    }


def _deciles(confidence_N: NDArray[np.float64], marks: dict[str, NDArray[np.float64]]) -> list[dict[str, float]]:
    parts = np.array_split(np.argsort(confidence_N, kind="stable"), 10)
    return [
        {name: float(one[part].mean()) for name, one in {"confidence": confidence_N, **marks}.items()} for part in parts
    ]


def _groups(
    names: Sequence[Sequence[str]], marks: dict[str, NDArray[np.float64]], taxonomy: Taxonomy
) -> dict[str, dict[str, float]]:
    own = [set(taxonomy.classes_of(several[0])) for several in names]
    found = {}
    for group in GROUPS:
        inside = set(taxonomy.classes_of(group))
        members = [place for place, classes in enumerate(own) if classes and classes <= inside]
        if members:
            found[group] = {"images": len(members), **{name: float(one[members].mean()) for name, one in marks.items()}}
    return found


def plots(result: dict[str, Any]) -> dict[str, bytes]:
    """Coverage against precision."""
    curve = result["coverage"]["curve"]
    line = Line("captions", [one[0] for one in curve], [one[1] for one in curve])
    return {"naming.png": lines([[("", "precision, a name or a wider one", [line])]], x="coverage", log="")}
