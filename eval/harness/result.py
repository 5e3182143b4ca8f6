"""What a result says about itself, and when an older one still holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.harness.code import code_digest
from eval.harness.suite import ROOT, SUITES, Found
from eval.mini import provenance
from eval.mini.data import digest_files
from vljepa.parts.saved import decoder_folder, saved_folder

FORMAT = 1
ASKED_FOR = (
    "format", "suite", "task", "title", "protocol", "metrics", "source", "version", "licence", "split", "pool", "rows",
    "candidates", "prompt", "frames", "seed", "ties", "command", "commit", "date", "hardware", "versions", "model",
    "data", "key", "overlap", "skipped",
)  # fmt: skip
"""Every result has these; what a task has no use for is None."""


def key_of(found: Found, model: str, *, code: str) -> dict[str, str]:
    """Hashes of what a result depends on: the model with its decoder, the suite, the code, and the data.

    Args:
        found: The suite and its data.
        model: Name of the model.
        code: Module that measures; everything of ours that it imports belongs to it.
    """
    decoder = decoder_folder(saved_folder(model))
    words = [] if decoder is None else sorted(decoder.glob("*"))
    return {
        "model": provenance.text_digest(provenance.model_of(model)["sha256"] + digest_files(words)),
        "suite": digest_files([SUITES / f"{found.suite.name}.yaml"]),
        "code": code_digest(code, root=ROOT),
        "data": found.digest(),
    }


def kept(path: Path, key: dict[str, str], *, training: str | None = None) -> dict[str, Any] | None:
    """The finished result in a file, where nothing that it depends on has changed.

    Args:
        path: The file.
        key: As of `key_of`.
        training: Hash of the training data that are at hand: the result must have been compared with them. Without any
            at hand, what it was compared with holds.
    """
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    if loaded.get("key") != key or training not in (None, loaded["overlap"].get("train", {}).get("sha256")):
        return None
    return loaded


def assemble(
    measured: dict[str, Any], found: Found, *, model: str, device: str, key: dict[str, str], overlap: dict[str, Any]
) -> dict[str, Any]:
    """A task's figures with everything that they must say about themselves.

    Args:
        measured: The figures.
        found: The suite and its data.
        model: Name of the model.
        device: That it was on.
        key: As of `key_of`.
        overlap: What of the test data is in the training data, as of `Training.overlap`.

    Raises:
        ValueError: Something is missing.
    """
    suite = found.suite
    result = {
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
        "overlap": overlap,
        "seed": 0,
        "candidates": None,
        "ties": "against the model",
        **provenance.origin("eval/run.py", device=device),
        "model": provenance.model_of(model),
        "data": {"folder": _shown(found.folder), "files": sorted(path.name for path in found.files.values())},
        "key": key,
        **measured,
    }
    lacking = [name for name in ASKED_FOR if name not in result or result[name] == {}]
    if lacking:
        raise ValueError(f"the result of {suite.name} lacks {', '.join(lacking)}")
    return result


def _shown(folder: Path) -> str:
    """A folder as the clone sees it."""
    return str(folder.relative_to(ROOT)) if folder.is_relative_to(ROOT) else str(folder)


def write(result: dict[str, Any], path: Path) -> None:
    """Write a whole result, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    half.replace(path)
