"""Closed questions: accuracy per source and type, and what is left of it without the picture or without the query."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.mini.frozen import Frozen, Rows
from eval.mini.question_only import Majority, QuestionOnly
from vljepa.data.records import Record
from vljepa.metrics.classification import expected_calibration_error, softmax, top_k_hits
from vljepa.validation.tasks import VqaTask

CONTROL_ROWS = 2000
STRENGTHS = (1.0, 100.0)
Table = dict[str, dict[str, float]]

PROTOCOL = (
    "The nearest of the row's own candidates in the text space; the right one must be strictly nearest. Majority: of "
    "the question type, on train. Question only: logistic regression on the query's words and Y-Encoder embedding, "
    "per source, on train. Controls on at most 2,000 evenly spaced rows per source, with the accuracy on the same "
    "rows beside them: blank = grey picture, swapped = another picture of the same type, no query = caption prompt."
)


def evaluate_questions(
    frozen: Frozen, *, train: Sequence[Record], validation: Sequence[Record], rows: Sequence[Record]
) -> dict[str, Any]:
    """All numbers of one source.

    Returns:
        `accuracy` and `controls` (tables: type or `all` -> name -> share), `calibration` and the candidate lists.
    """
    task = VqaTask(rows[0].source, rows)
    texts_MD = frozen.model_texts(task.texts())
    scores_NC = task.scores(frozen.predictions(task.pairs()), texts_MD)
    majority, blind = Majority(train), _question_only(frozen, train, validation)
    blind.prepare([record.query for record in rows])
    columns = {
        "model": top_k_hits(scores_NC, task.labels_N),
        "chance": np.array([1 / len(record.candidates) for record in rows]),
        "majority": np.array([majority.hit(record) for record in rows]),
        "question_only": np.array([blind.hit(record) for record in rows]),
    }
    calibration = frozen.model.config.calibration
    temperatures_N = [calibration.temperature("ask", candidates=len(record.candidates)) for record in rows]
    probabilities_NC = softmax(scores_NC, temperature=np.array(temperatures_N))
    return {
        "rows": len(rows),
        "pictures": len({record.source_id for record in rows}),
        "accuracy": _table(columns, rows),
        "controls": _controls(frozen, task, texts_MD, columns),
        "calibration": {
            "temperature": float(np.mean(temperatures_N)),
            "ece": expected_calibration_error(probabilities_NC, task.labels_N),
            "mean_confidence": float(probabilities_NC.max(axis=1).mean()),
        },
        "candidates": _candidate_lists(rows),
    }


def _question_only(frozen: Frozen, train: Sequence[Record], validation: Sequence[Record]) -> QuestionOnly:
    """The classifier with the regularisation that does best on validation."""

    def embed(queries: Sequence[str]) -> NDArray[np.float32]:
        embedded: NDArray[np.float32] = frozen.texts(list(queries)).numpy()
        return embedded

    fitted = [QuestionOnly(train, embed=embed, strength=strength) for strength in STRENGTHS]
    for one in fitted:
        one.prepare([record.query for record in validation])
    return max(fitted, key=lambda one: sum(one.hit(record) for record in validation))


def _controls(frozen: Frozen, task: VqaTask, texts_MD: Rows, columns: dict[str, NDArray[Any]]) -> Table:
    """Accuracy on a sample of rows with the picture blanked, swapped within the type, and the query removed."""
    step = -(-len(task.records) // CONTROL_ROWS)
    sample = VqaTask(task.name, task.records[::step])
    place = {text: row for row, text in enumerate(task.texts())}
    sample_texts_MD = texts_MD[[place[text] for text in sample.texts()]]

    def hits(pairs: list[tuple[Path, str]]) -> NDArray[np.bool_]:
        return top_k_hits(sample.scores(frozen.predictions(pairs), sample_texts_MD), sample.labels_N)

    pairs = sample.pairs()
    changed = {
        "blank": [(frozen.blank, query) for _, query in pairs],
        "swapped": list(zip(swapped_pictures(sample.records), [query for _, query in pairs], strict=True)),
        "no_query": [(path, frozen.caption_prompt) for path, _ in pairs],
    }
    result: dict[str, NDArray[Any]] = {name: values[::step] for name, values in columns.items()}
    result |= {name: hits(changed_pairs) for name, changed_pairs in changed.items()}
    return _table(result, sample.records)


def swapped_pictures(records: Sequence[Record], *, seed: int = 0) -> list[Path]:
    """For every row, the picture of another row of its type that shows another picture (its own if there is none)."""
    random = np.random.default_rng(seed)
    by_type: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_type[record.type].append(record)
    result: list[Path] = []
    for record in records:
        group = by_type[record.type]
        start = int(random.integers(len(group)))
        turned = (group[(start + offset) % len(group)] for offset in range(len(group)))
        other = next((one for one in turned if one.source_id != record.source_id), record)
        assert other.image is not None
        result.append(other.image)
    return result


def _table(columns: dict[str, NDArray[Any]], records: Sequence[Record]) -> Table:
    types = np.array([record.type for record in records])
    table: Table = {}
    for name in ("all", *sorted(set(types))):
        chosen = np.ones(len(types), dtype=bool) if name == "all" else types == name
        table[name] = {column: float(np.mean(values[chosen])) for column, values in columns.items()}
        table[name]["rows"] = int(chosen.sum())
    return table


def _candidate_lists(rows: Sequence[Record]) -> dict[str, Any]:
    """The list of every type whose rows all share one; else only how many there are."""
    lists: dict[str, Any] = {}
    for kind in sorted({record.type for record in rows}):
        different = {record.candidates for record in rows if record.type == kind}
        sizes = sorted({len(candidates) for candidates in different})
        lists[kind] = list(next(iter(different))) if len(different) == 1 else {"own_list_per_row_of": sizes}
    return lists
