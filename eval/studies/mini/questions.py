"""Closed questions: accuracy per source and type, and what is left of it without the image or without the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import Rows
from eval.core.statistics import calibrated
from eval.studies.mini.features import Features
from eval.tasks.question_only import Majority, QuestionOnly, swapped_images
from vljepa.data.records import Record, Visual
from vljepa.metrics.classification import top_k_hits
from vljepa.validation.tasks import VqaTask

CONTROL_ROWS = 2000
STRENGTHS = (1.0, 100.0)
Table = dict[str, dict[str, float]]


def evaluate_questions(
    features: Features, *, train: Sequence[Record], validation: Sequence[Record], rows: Sequence[Record]
) -> dict[str, Any]:
    """All numbers of one source.

    Returns:
        `accuracy` and `controls` (tables: type or `all` -> name -> share), and `calibration`.
    """
    task = VqaTask(rows[0].source, rows)
    texts_MD = features.model_texts(task.texts())
    scores_NC = task.scores(features.predictions(task.pairs()), texts_MD)
    majority, blind = Majority(train), _question_only(features, train, validation)
    blind.prepare([record.query for record in rows])
    columns = {
        "model": top_k_hits(scores_NC, task.labels_N),
        "chance": np.array([1 / len(record.candidates) for record in rows]),
        "majority": np.array([majority.hit(record) for record in rows]),
        "question_only": np.array([blind.hit(record) for record in rows]),
    }
    calibration = features.model.config.calibration
    temperatures_N = [calibration.temperature("ask", candidates=len(record.candidates)) for record in rows]
    return {
        "rows": len(rows),
        "images": len({record.source_id for record in rows}),
        "accuracy": _table(columns, rows),
        "controls": _controls(features, task, texts_MD, columns),
        "calibration": calibrated(scores_NC, task.labels_N, temperature=np.array(temperatures_N)),
    }


def _question_only(features: Features, train: Sequence[Record], validation: Sequence[Record]) -> QuestionOnly:
    """The classifier with the regularisation that does best on validation."""

    def embed(queries: Sequence[str]) -> NDArray[np.float32]:
        embedded: NDArray[np.float32] = features.texts(list(queries)).numpy()
        return embedded

    fitted = [QuestionOnly(train, embed=embed, strength=strength) for strength in STRENGTHS]
    for one in fitted:
        one.prepare([record.query for record in validation])
    return max(fitted, key=lambda one: sum(one.hit(record) for record in validation))


def _controls(features: Features, task: VqaTask, texts_MD: Rows, columns: dict[str, NDArray[Any]]) -> Table:
    """Accuracy on a sample of rows with the image blanked, swapped within the type, and the query removed."""
    step = -(-len(task.records) // CONTROL_ROWS)
    sample = VqaTask(task.name, task.records[::step])
    place = {text: row for row, text in enumerate(task.texts())}
    sample_texts_MD = texts_MD[[place[text] for text in sample.texts()]]

    def hits(pairs: Sequence[tuple[Visual, str]]) -> NDArray[np.bool_]:
        return top_k_hits(sample.scores(features.predictions(pairs), sample_texts_MD), sample.labels_N)

    pairs = sample.pairs()
    changed: dict[str, list[tuple[Visual, str]]] = {
        "blank": [(features.blank, query) for _, query in pairs],
        "swapped": list(zip(swapped_images(sample.records), [query for _, query in pairs], strict=True)),
        "no_query": [(path, features.caption_prompt) for path, _ in pairs],
    }
    result: dict[str, NDArray[Any]] = {name: values[::step] for name, values in columns.items()}
    result |= {name: hits(changed_pairs) for name, changed_pairs in changed.items()}
    return _table(result, sample.records)


def _table(columns: dict[str, NDArray[Any]], records: Sequence[Record]) -> Table:
    types = np.array([record.type for record in records])
    table: Table = {}
    for name in ("all", *sorted(set(types))):
        chosen = np.ones(len(types), dtype=bool) if name == "all" else types == name
        table[name] = {column: float(np.mean(values[chosen])) for column, values in columns.items()}
        table[name]["rows"] = int(chosen.sum())
    return table
