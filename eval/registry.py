"""Every task, study and benchmark by name, imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

TASKS = {
    "retrieval": "eval.tasks.retrieval:measure",
    "classification": "eval.tasks.classification:measure",
    "questions": "eval.tasks.questions:measure",
    "captions": "eval.tasks.captions:measure",
    "stored captions": "eval.tasks.captions:stored",
    "text triplets": "eval.tasks.comparisons:triplets",
    "image-text pairs": "eval.tasks.comparisons:pairs",
    "two by two": "eval.tasks.comparisons:two_by_two",
    "clips": "eval.tasks.comparisons:clips",
    "round trip": "eval.tasks.words:measure_round_trip",
    "annotated videos": "eval.tasks.annotated_videos:measure",
    "order": "eval.tasks.order:measure",
    "animations": "eval.tasks.animations:measure",
    "words": "eval.tasks.words:measure",
    "selective": "eval.tasks.selective:measure",
    "selective choice": "eval.tasks.selective:choose",
    "moments": "eval.tasks.moments:measure",
    "mini": "eval.studies.mini.study:measure",
    "ablations": "eval.studies.ablations:measure",
    "adaptation": "eval.studies.adaptation:measure",
    "answer prior": "eval.studies.answer_prior.study:measure",
    "comparison": "eval.studies.comparison.study:measure",
}
"""What a suite may name as its task: `measure(context, **settings) -> Result`."""
TABLES = {
    "order": "eval.tasks.order",
    "words": "eval.tasks.words",
    "selective": "eval.tasks.made.tables",
    "moments": "eval.tasks.moments",
    "mini": "eval.studies.mini.tables",
    "ablations": "eval.studies.ablations",
    "adaptation": "eval.studies.adaptation",
    "answer prior": "eval.studies.answer_prior.study",
    "comparison": "eval.studies.comparison.tables",
}
"""Tasks whose results have tables of their own, `tables(result)`, and perhaps `plots(result)`."""
DOCUMENTS = {
    "order": ("Order in time: clips of unseen sprites", "order", ["mini_order"]),
    "captions": ("Words: all numbers", "words", ["captions"]),
    "selective": ("Selective decoding: all numbers", "selective", ["selective"]),
    "moments": ("Search in time: all numbers", "moments", ["moments"]),
    "mini": ("mini: all numbers", "mini", ["mini"]),
    "ablations": ("Ablations", "ablations", ["ablations"]),
    "adaptation": ("Adaptation: mini on 50 kinds of groceries", "adaptation", ["adaptation"]),
    "answer_prior": (
        "Questions with skewed answers",
        "answer prior",
        ["answer_prior_objects", "answer_prior_captions", "answer_prior_captions_folds"],
    ),
    "comparison": ("Embeddings against tokens: the controlled comparison", "comparison", ["comparison"]),
}
"""Pages of docs/ by name: title, task and results."""
BENCHES = ("infonce", "kill", "latency", "segmentation", "soak", "soak_live", "step")


def task(name: str) -> Callable[..., Any]:
    """The function of a task."""
    module, _, function = TASKS[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def bench(name: str) -> ModuleType:
    """The module of a benchmark: `measure(**settings)`, and perhaps `plots(result)`."""
    return import_module(f"eval.bench.{name}")


def tables(name: str) -> ModuleType | None:
    """The module with a task's own tables, where it has any."""
    return import_module(TABLES[name]) if name in TABLES else None


def document(name: str, load: Callable[[str], dict[str, Any] | None]) -> tuple[str, dict[str, bytes]]:
    """Markdown of a page of docs/ and its plots; empty without a result.

    Args:
        name: A key of DOCUMENTS.
        load: From the name of a result to its content.
    """
    from eval.core.render import origin_line

    title, task_name, results = DOCUMENTS[name]
    module, parts = tables(task_name), []
    drawn: dict[str, bytes] = {}
    assert module is not None, task_name
    for result in map(load, results):
        if result is not None:
            plots: dict[str, bytes] = module.plots(result) if hasattr(module, "plots") else {}
            drawn |= plots
            images = [f"![{Path(file).stem.replace('_', ' ')}]({file})" for file in plots]
            parts += [*images, origin_line(result), module.tables(result)]
    written = "Written by `python eval/report.py --docs docs`; paths in commands are shortened."
    return ("\n\n".join([f"# {title}", written, *parts]) + "\n" if parts else ""), drawn
