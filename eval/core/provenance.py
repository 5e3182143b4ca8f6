"""Where a number comes from: command, commit, hardware, date, versions, model, data and code."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vljepa.backends.aligned import config_of, is_aligned
from vljepa.errors import DataError
from vljepa.parts.saved import (
    ADAPTER_FILE,
    ADAPTER_WEIGHTS_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    adapted_folder,
    decoder_folder,
    saved_folder,
)

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "transformers", "timm", "scikit-learn", "numpy")
CODE = ("eval", "recipes", "vljepa")


def origin(*, device: str = "cpu") -> dict[str, Any]:
    """What every result says: the command of this process, commit, date, hardware and versions."""
    return {
        "command": shlex.join(["python", "eval/run.py", *map(shortened, sys.argv[1:])]),
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        + ("CPU only" if device == "cpu" else _accelerator(device)),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
    }


def shortened(argument: str) -> str:
    """An argument without the folders of this machine: a path in the clone from there, another as PATH/TO/ITS_NAME."""
    name, mark, value = argument.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return argument
    inside = path.is_relative_to(ROOT)
    return f"{name}{mark}{path.relative_to(ROOT) if inside else Path('PATH/TO', path.name)}"


def packages() -> list[dict[str, str]]:
    """The packages that the prepared data come from."""
    from recipes.mini.fetch import PACKAGES

    return [
        {"name": one.name, "version": one.version, "client": one.client, "sha256": one.sha256}
        for one in PACKAGES.values()
    ]


def data_of(folder: Path) -> dict[str, Any]:
    """Folder of prepared data, its emoji split, and the hash of its rows.

    Raises:
        DataError: It is no folder of `recipes/mini/prepare.py`.
    """
    summary = folder / "summary.json"
    if not summary.is_file():
        raise DataError(f"{str(folder)!r} has no summary.json.", fix="give a folder of recipes/mini/prepare.py.")
    split = json.loads(summary.read_text(encoding="utf-8"))["split_seed"]
    rows = digest_files(sorted(folder.glob("*/*.jsonl")))
    return {"folder": str(folder), "split": f"recipes/mini/splits/emoji_{split}.json", "rows_sha256": rows}


def data_digest(folder: Path) -> str:
    """Hash of prepared data, wherever the folder is.

    Raises:
        DataError: As `data_of`.
    """
    found = data_of(folder)
    return text_digest(found["split"] + found["rows_sha256"])


def model_of(name: str) -> dict[str, str]:
    """Saved model and the hash of its config and weights; of adapters, with those of the model that they adapt."""
    if is_aligned(name):
        return {"name": name, "sha256": text_digest(config_of(name).model_dump_json())}
    folder = saved_folder(name)
    if not (folder / ADAPTER_FILE).is_file():
        return {"name": name, "sha256": digest_files([folder / CONFIG_FILE, folder / WEIGHTS_FILE])}
    base = adapted_folder(folder)
    own = [folder / one for one in (CONFIG_FILE, ADAPTER_FILE, ADAPTER_WEIGHTS_FILE)]
    return {"name": name, "sha256": digest_files([*own, base / CONFIG_FILE, base / WEIGHTS_FILE])}


def result_name(suite: str, model: str) -> str:
    """Name of a result: the suite's, and the model's where it is not mini."""
    return suite if model == "mini" else f"{suite}.{model.strip('/').replace('/', '_')}"


def model_digest(name: str) -> str:
    """Hash of a saved model with its Y-Decoder."""
    decoder = None if is_aligned(name) else decoder_folder(saved_folder(name))
    words = [] if decoder is None else sorted(decoder.glob("*"))
    return text_digest(model_of(name)["sha256"] + digest_files(words))


def code_digest(module: str, *, root: Path = ROOT) -> str:
    """Hash of a module's source and of all of ours that it imports, however deep."""
    files = code_of(module, root=root)
    assert files, module
    return digest_files(files)


def code_of(module: str, *, root: Path = ROOT) -> list[Path]:
    """Source files of a module and of all that it imports, in its functions too, sorted.

    Args:
        module: Dotted name, such as `eval.tasks.retrieval`.
        root: Folder of the packages in `CODE`.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source(name, root)
        if path is not None and name not in found:
            found[name] = path
            waiting += [name.rpartition(".")[0], *_imported(path)]
    return sorted(found.values())


def digest_files(files: Sequence[Path]) -> str:
    """Short hash of the names and contents of files."""
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return hashed.hexdigest()[:16]


def text_digest(text: str) -> str:
    """Short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _source(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] not in CODE:
        return None
    place = root.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _imported(path: Path) -> tuple[str, ...]:
    """Names of modules, and of what may be one: `from eval.core import suite` is a module of a package."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return tuple(names)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _accelerator(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
