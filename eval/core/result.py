"""What a task is given, what it returns, and what a result file says about itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.core import provenance
from eval.core.cache import Key, key_of
from eval.core.console import log
from eval.core.provenance import ROOT
from eval.core.suite import SUITES, Found
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder

FORMAT = 1
CAPTION_PROMPT = "the model's caption prompt"
NONE_SKIPPED = {"count": 0, "first": {}}


class Model:
    """A model that is loaded when the first task needs it.

    Args:
        name: Preset, folder or repository.
        device: As for `Embedder.from_pretrained`.
    """

    def __init__(self, name: str, *, device: str | None = None) -> None:
        self.name, self._device = name, device

    @cached_property
    def embedder(self) -> Embedder:
        """The loaded model."""
        log(f"loading {self.name}")
        return Embedder.from_pretrained(self.name, device=self._device)


@dataclass(frozen=True)
class Context:
    """What a task works with.

    Args:
        found: The suite and its files.
        model: The measured model.
        cache: Folder for what is encoded once.
        work: Folder for the runs of studies; a run that is complete there is not trained again.
    """

    found: Found
    model: Model
    cache: Path = ROOT / "cache"
    work: Path = ROOT / "runs" / "eval"

    @property
    def embedder(self) -> Embedder:
        """The measured model, loaded."""
        return self.model.embedder


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a task has measured.

    Args:
        metrics: Tables of figures: by part, and figure, a number, or an interval with `mean`, `low` and `high`.
        rows: Rows of the test set.
        pool: Sizes of what is searched or chosen among.
        prompt: Query that images were embedded under; the default stands for the model's own.
        frames: Frames of a video; 1 for images, 0 for texts.
        skipped: How many files could not be read, and the first of them with the reason.
        examined: Images and texts that were measured on; None where that is not known.
        chance: Figures of guessing, by part.
        candidates: What was chosen among, where that is not the pool.
        seed: Of what is drawn.
        ties: How ties count, or how many there were.
        more: Sections of the task's own, beside the tables.
    """

    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: int
    pool: list[dict[str, int]]
    prompt: str | None = CAPTION_PROMPT
    frames: int = 1
    skipped: dict[str, Any] = field(default_factory=lambda: dict(NONE_SKIPPED))
    examined: Iterable[Record] | None = None
    chance: dict[str, dict[str, float]] = field(default_factory=dict)
    candidates: Any = None
    seed: int = 0
    ties: Any = "against the model"
    more: dict[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """What the result file holds of it."""
        names = ("metrics", "chance", "rows", "pool", "candidates", "prompt", "frames", "seed", "ties", "skipped")
        return {name: getattr(self, name) for name in names} | self.more


def suite_key(context: Context, *, code: str) -> Key:
    """Hashes of what a suite's result depends on: model with decoder, suite and settings, code, and data."""
    found = context.found
    return key_of(
        code,
        model=provenance.model_digest(context.model.name),
        suite=provenance.text_digest(provenance.digest_files([SUITES / f"{found.suite.name}.yaml"]) + str(found.suite)),
        data=found.digest(),
    )


def assemble(result: Result, context: Context, *, device: str, key: Key, overlap: dict[str, Any]) -> dict[str, Any]:
    """A result with everything that it must say about itself.

    Args:
        result: The figures.
        context: What they were measured with.
        device: That the model was on.
        key: As of `suite_key`.
        overlap: What of the test data is in the training data, as of `Training.overlap`.
    """
    found, suite = context.found, context.found.suite
    return {
        "format": FORMAT,
        "suite": suite.name,
        "task": suite.task,
        "title": suite.title,
        "protocol": suite.protocol,
        "source": suite.source,
        "version": suite.version,
        "licence": suite.licence,
        "split": suite.split,
        "rows_expected": suite.rows,
        "settings": suite.settings,
        "overlap": overlap,
        **provenance.origin(device=device),
        "model": provenance.model_of(context.model.name),
        **_prepared(found),
        "key": key,
        **result.content(),
        **({"prompt": context.embedder.model.config.prompts.caption} if result.prompt == CAPTION_PROMPT else {}),
    }


def _prepared(found: Found) -> dict[str, Any]:
    """Folder as the clone sees it, and files; of what recipes/mini/prepare.py writes, its split and packages, too."""
    inside = found.folder.is_relative_to(ROOT)
    shown = str(found.folder.relative_to(ROOT) if inside else found.folder)
    data = {"folder": shown, "files": sorted(path.name for path in found.files.values())}
    if "summary" not in found.files:
        return {"data": data}
    return {"data": provenance.data_of(found.folder) | data, "packages": provenance.packages()}
