"""Where a number comes from: command, commit, hardware, date, versions and data."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eval.mini.data import data_files, digest_files
from recipes.mini.fetch import PACKAGES
from vljepa.errors import DataError
from vljepa.parts.saved import (
    ADAPTER_FILE,
    ADAPTER_WEIGHTS_FILE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    adapted_folder,
    saved_folder,
)

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("torch", "transformers", "timm", "scikit-learn", "numpy")


def origin(module: str, *, device: str = "cpu") -> dict[str, Any]:
    """What is the same for the whole result file of an evaluation such as `eval.mini` or `eval/run.py`."""
    program = [module] if module.endswith(".py") else ["-m", module]
    return {
        "command": shlex.join(["python", *program, *map(shortened, sys.argv[1:])]),
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
    rows = digest_files(data_files(folder))
    return {"folder": str(folder), "split": f"recipes/mini/splits/emoji_{split}.json", "rows_sha256": rows}


def model_of(name: str) -> dict[str, str]:
    """Saved model and the hash of its config and weights; of adapters, with those of the model that they adapt."""
    folder = saved_folder(name)
    if not (folder / ADAPTER_FILE).is_file():
        return {"name": name, "sha256": digest_files([folder / CONFIG_FILE, folder / WEIGHTS_FILE])}
    base = adapted_folder(folder)
    own = [folder / one for one in (CONFIG_FILE, ADAPTER_FILE, ADAPTER_WEIGHTS_FILE)]
    return {"name": name, "sha256": digest_files([*own, base / CONFIG_FILE, base / WEIGHTS_FILE])}


def code_digest() -> str:
    """Hash of this evaluation's own code."""
    return digest_files(sorted(Path(__file__).parent.glob("*.py")))


def text_digest(text: str) -> str:
    """Short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


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
