"""What the validation questions would be answered right without the image, beside what the model answers."""

from __future__ import annotations

from collections.abc import Sequence

from vljepa.data.baselines import Blind
from vljepa.data.records import Record
from vljepa.validation.tasks import Metrics, Task, VqaTask

_NAMES = {
    "majority": "the most frequent answer",
    "majority_per_type": "the most frequent answer of the question's type",
    "majority_per_question": "the most frequent answer to the question",
    "question_only": "a classifier that reads the question alone",
}


def blind_metrics(tasks: Sequence[Task], *, train: Sequence[Sequence[Record]]) -> Metrics:
    """`NAME/blind/...` of every validation source of questions; nothing where no training row has a question."""
    asked = [record for source in train for record in source if record.query]
    questions = [task for task in tasks if isinstance(task, VqaTask)]
    if not asked or not questions:
        return {}
    blind = Blind(asked)
    measured = {task.name: blind.measure(task.records) for task in questions}
    return {f"{task}/blind/{name}": value for task, values in measured.items() for name, value in values.items()}


def blind_warnings(metrics: Metrics) -> list[str]:
    """A line per question source: what the model answers, and what needs no image; a warning where that is as good.

    Args:
        metrics: Of a finished run.
    """
    lines = []
    for name in [key.removesuffix("/blind/question_only") for key in metrics if key.endswith("/blind/question_only")]:
        own = metrics.get(f"{name}/accuracy_with_prior", metrics[f"{name}/accuracy"])
        blind = {key: metrics[f"{name}/blind/{key}"] for key in _NAMES if f"{name}/blind/{key}" in metrics}
        told = ", ".join(f"{value:.1%} {_NAMES[key]}" for key, value in blind.items())
        lines.append(f"{name}: {own:.1%} right; without looking at the image: {told}")
        if own <= max(blind.values()):
            lines.append(f"WARNING: {name}: the model answers no better than without looking at the image")
    return lines
