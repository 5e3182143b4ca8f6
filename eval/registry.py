"""Every task, study and benchmark by name, imported when it is asked for, and what pages say of their results."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from eval.core.render import PAGES, filled, origin_line

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
    "naming": "eval.tasks.naming:measure",
    "words": "eval.tasks.words:measure",
    "selective": "eval.tasks.selective:measure",
    "selective choice": "eval.tasks.selective:choose",
    "segments": "eval.tasks.segments:measure",
    "mini": "eval.studies.mini.study:measure",
    "ablations": "eval.studies.ablations:measure",
    "adaptation": "eval.studies.adaptation:measure",
    "answer prior": "eval.studies.answer_prior.study:measure",
    "comparison": "eval.studies.comparison.study:measure",
    "v_jepa": "eval.studies.v_jepa:measure",
    "two_rooms": "eval.studies.two_rooms:measure",
    "llm_jepa": "eval.studies.llm_jepa:measure",
}
"""What a suite may name as its task: `measure(context, **settings) -> Result`.

What a task's results look like is `eval/pages/TASK.md`, where they are not plain tables of figures. Beside `measure`
its module may have `derived(result)`, further names for that page, and `plots(result)`, PNG files by name.
"""
DOCUMENTS = {
    "order": ("Order in time: clips of unseen sprites", "order", ["mini_order"]),
    "captions": ("Words: all numbers", "words", ["captions"]),
    "naming": ("Do captions name what is there?", "naming", ["naming"]),
    "selective": ("Selective decoding: all numbers", "selective", ["selective"]),
    "segments": ("Search in time: all numbers", "segments", ["segments"]),
    "mini": ("mini: all numbers", "mini", ["mini"]),
    "ablations": ("Ablations", "ablations", ["ablations"]),
    "adaptation": ("Adaptation: mini on 50 kinds of groceries", "adaptation", ["adaptation"]),
    "answer_prior": (
        "Questions with skewed answers",
        "answer prior",
        ["answer_prior_objects", "answer_prior_captions", "answer_prior_captions_folds"],
    ),
    "comparison": ("Embeddings against tokens: the controlled comparison", "comparison", ["comparison"]),
    "family": ("The family: V-JEPA", "v_jepa", ["v_jepa"]),
    "llm_jepa": ("LLM-JEPA", "llm_jepa", ["llm_jepa"]),
}
"""Pages of docs/ by name: title, task and results."""
BENCHES = (
    *("backends", "duplicates", "index", "infonce", "kill", "latency", "search", "segmentation", "serve"),
    *("soak", "soak_live", "spelling", "step"),
)


def task(name: str) -> Callable[..., Any]:
    """The function of a task."""
    module, _, function = TASKS[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def bench(name: str) -> ModuleType:
    """The module of a benchmark: `measure(**settings)`, and perhaps `plots(result)`."""
    return import_module(f"eval.bench.{name}")


def tables(task: str, result: dict[str, Any]) -> str | None:
    """What the page of a task says of its result, as Markdown; None where it has no page."""
    name = f"{task.replace(' ', '_')}.md"
    return filled(name, result, **_about(task, result, "derived")) if (PAGES / name).is_file() else None


def document(name: str, load: Callable[[str], dict[str, Any] | None]) -> tuple[str, dict[str, bytes]]:
    """Markdown of a page of docs/ and its plots; empty without a result.

    Args:
        name: A key of DOCUMENTS.
        load: From the name of a result to its content.
    """
    title, task, names = DOCUMENTS[name]
    parts: list[str] = []
    drawn: dict[str, bytes] = {}
    for result in filter(None, map(load, names)):
        plots: dict[str, bytes] = _about(task, result, "plots")
        drawn |= plots
        images = [f"![{Path(file).stem.replace('_', ' ')}]({file})" for file in plots]
        parts += [*images, origin_line(result), tables(task, result) or ""]
    written = "Written by `python eval/report.py --docs docs`; paths in commands are shortened."
    return ("\n\n".join([f"# {title}", written, *parts]) + "\n" if parts else ""), drawn


def _about(task: str, result: dict[str, Any], what: str) -> dict[str, Any]:
    """What a function of a task's module makes of its result, where there is one."""
    module = import_module(TASKS[task].partition(":")[0])
    found: dict[str, Any] = getattr(module, what)(result) if hasattr(module, what) else {}
    return found
