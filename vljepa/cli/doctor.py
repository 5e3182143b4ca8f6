"""`vljepa doctor`: one line per thing that has to be right, with the fix when it is not.

Each check is a pure function of what was found, so that its verdict can be tested without breaking a machine. What
has to be found by importing third parties is found in a subprocess, because a broken torch must not break the doctor.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import print_json

DISTRIBUTION = "vljepa-torch"
_MINIMUM_PYTHON = (3, 11)
_MODULES = {"pyyaml": "yaml", "pillow": "PIL", "open-clip-torch": "open_clip"}
_STYLES = {"ok": "green", "note": "yellow", "broken": "red"}
_WIDTH = 384
"""Numbers of an image's row: those of `mini`."""
_CPU_RATE, _GPU_RATE = 40, 2000
"""Images per second with `mini`: from JPEG files on two cores, as measured, and a round number for one GPU."""
_PROBE_SECONDS = 300
_PROBE = """
import importlib, json, sys
found = {"errors": {}, "gpu": None, "threads": None}
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        found["errors"][name] = f"{type(error).__name__}: {error}".splitlines()[0]
if "torch" not in found["errors"]:
    import torch
    found["threads"] = torch.get_num_threads()
    if torch.cuda.is_available():
        found["gpu"] = {"name": torch.cuda.get_device_name(0), "bf16": torch.cuda.is_bf16_supported()}
    elif torch.backends.mps.is_available():
        found["gpu"] = {"name": "Apple MPS", "bf16": False}
print("\\n" + json.dumps(found))
"""


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: What was looked at.
        status: `note` is worth knowing, `broken` has to be mended.
        detail: What was found.
        fix: What to do; empty when there is nothing to do.
    """

    name: str
    status: Literal["ok", "note", "broken"]
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Probe:
    """What a subprocess saw.

    Args:
        errors: Module to the first line of its import error.
        gpu: `name` and `bf16`, or None.
        threads: What torch would use; None without torch.
    """

    errors: dict[str, str]
    gpu: dict[str, Any] | None
    threads: int | None


def doctor(as_json: JsonOption = False) -> None:
    """Check Python, packages, pip, assets, device and disk; exit code 2 when something is broken."""
    from rich.console import Console
    from rich.text import Text

    checks = examine()
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        console = Console()
        for check in checks:
            line = Text.assemble((f"{check.status:<7}", _STYLES[check.status]), f"{check.name:<12} {check.detail}")
            if check.fix:
                line.append(f" Fix: {check.fix}")
            console.print(line, soft_wrap=True)
    if any(check.status == "broken" for check in checks):
        raise typer.Exit(2)


def examine() -> list[Check]:
    """Run every check on this machine."""
    import shutil

    from vljepa.inference.index_size import machine_memory
    from vljepa.parts.manifest import ASSETS, MINI_ASSETS
    from vljepa.parts.pip_download import disk_needed, has_pip
    from vljepa.parts.store import assets_root, cache_home, is_fetched, verify

    required = required_versions(_requirements())
    probe = run_probe([_module(package) for package in required])
    present = [name for name in ASSETS if (assets_root() / name).exists()]
    missing = [name for name in MINI_ASSETS if not is_fetched(name)]
    home = cache_home()
    parent = next(folder for folder in (home, *home.parents) if folder.exists())
    needed = sum(disk_needed(ASSETS[name]) for name in missing)
    return [
        check_python(sys.version_info[:3]),
        check_torch(_installed("torch"), _installed("torchvision"), probe.errors),
        check_packages({package: _installed(package) for package in required}, required, probe.errors),
        check_pip(has_pip(), missing),
        check_assets(missing, {name: [d.file for d in verify(name)] for name in present}),
        check_cache(home, os.access(parent, os.W_OK), shutil.disk_usage(parent).free, needed),
        check_gpu(probe.gpu),
        check_threads(probe.threads, os.cpu_count() or 1),
        check_library(machine_memory(), shutil.disk_usage(Path.cwd()).free),
    ]


def check_python(version: tuple[int, ...]) -> Check:
    """The interpreter is new enough."""
    text = ".".join(str(number) for number in version)
    if version[:2] >= _MINIMUM_PYTHON:
        return Check("python", "ok", f"{text}.")
    return Check("python", "broken", f"{text} is too old.", "make an environment with Python 3.11 or newer.")


def check_torch(torch: str | None, torchvision: str | None, errors: dict[str, str]) -> Check:
    """Torch and torchvision are builds that load together."""
    versions = f"torch {torch}, torchvision {torchvision}"
    error = errors.get("torch") or errors.get("torchvision")
    if error is None:
        return Check("torch", "ok", f"{versions}.")
    fix = "run `pip install --force-reinstall torch torchvision`: reinstall both from the package index."
    if "torchvision::nms" in error or "different CUDA" in error:
        return Check("torch", "broken", f"{versions} are builds that do not fit together ({error}).", fix)
    return Check("torch", "broken", f"{versions} do not import ({error}).", fix)


def check_packages(installed: dict[str, str | None], required: dict[str, str], errors: dict[str, str]) -> Check:
    """Every core package is there, of a version that goes, and imports; torch and torchvision have their own line."""
    if not required:
        return Check("packages", "broken", f"{DISTRIBUTION} is not installed.", "run `pip install .` in its folder.")
    wrong, pins = [], []
    for package, bounds in required.items():
        version = installed[package]
        error = None if package in ("torch", "torchvision") else errors.get(_module(package))
        if version is None:
            wrong.append(f"{package} is not installed")
        elif (off := _out_of(bounds, version)) is not None:
            wrong.append(f"{package} {version} is {off}")
        elif error is not None:
            wrong.append(f"{package} {version} does not import ({error})")
        else:
            continue
        pins.append(f"'{package}{bounds}'")
    if not wrong:
        return Check("packages", "ok", f"{len(required)} core packages import.")
    return Check("packages", "broken", f"{'; '.join(wrong)}.", f"run `pip install --upgrade {' '.join(pins)}`.")


def check_pip(present: bool, missing: list[str]) -> Check:
    """Pip is there; without it nothing that is missing can be fetched."""
    if present:
        return Check("pip", "ok", "present.")
    fix = f"run `{sys.executable} -m ensurepip` (with uv: `uv pip install pip`)."
    if missing:
        return Check("pip", "broken", f"missing, and {', '.join(missing)} cannot be fetched without it.", fix)
    return Check("pip", "note", "missing; needed only to fetch more assets.", fix)


def check_assets(missing: list[str], damaged: dict[str, list[str]]) -> Check:
    """What `mini` needs is fetched, and everything fetched is whole.

    Args:
        missing: Assets of `mini` that are not fetched.
        damaged: Damaged files of each asset that is in the cache.
    """
    broken = {name: files for name, files in damaged.items() if files}
    if broken:
        detail = "; ".join(f"{name}: {', '.join(files)}" for name, files in broken.items())
        return Check(
            "assets", "broken", f"damaged: {detail}.", f"run `vljepa assets fetch --force {' '.join(broken)}`."
        )
    if missing:
        detail = f"{', '.join(missing)} not fetched yet; fetched on first use, with a network."
        return Check("assets", "note", detail, "run `vljepa assets fetch`.")
    return Check("assets", "ok", f"{', '.join(damaged)}: whole.")


def check_cache(home: Path, writable: bool, free: int, needed: int) -> Check:
    """The cache folder can be written and has room for what is missing (bytes)."""
    fix = "set VLJEPA_HOME to a folder of your own on a disk with room."
    if not writable:
        return Check("cache", "broken", f"{home} is not writable.", fix)
    if free < needed:
        detail = f"{home} has {free / 1e6:,.0f} MB free, fetching what is missing needs {needed / 1e6:,.0f} MB."
        return Check("cache", "broken", detail, fix)
    return Check("cache", "ok", f"{home}, {free / 1e9:,.1f} GB free.")


def check_gpu(gpu: dict[str, Any] | None) -> Check:
    """Which accelerator torch sees; none is no fault."""
    if gpu is None:
        return Check("device", "note", "no GPU: runs on the CPU.")
    return Check("device", "ok", f"{gpu['name']}, bf16 {'yes' if gpu['bf16'] else 'no'}.")


def check_threads(threads: int | None, cores: int) -> Check:
    """Torch uses the cores that there are."""
    if threads is None:
        return Check("threads", "note", "unknown, because torch does not import.")
    if threads < cores // 2:
        detail = f"torch uses {threads} of {cores} cores."
        return Check("threads", "note", detail, "unset OMP_NUM_THREADS to use them all.")
    return Check("threads", "ok", f"torch uses {threads} of {cores} cores.")


def check_library(memory: int, free: int) -> Check:
    """How large an index goes on this machine (bytes of memory, and free on the disk of the current folder)."""
    from vljepa.inference.index_size import most_in_graph, most_on_disk, needed

    graphs = [f"{one} to {most_in_graph(one, _WIDTH, memory=memory) / 1e6:,.1f}" for one in ("HNSW32", "HNSW32,SQ8")]
    sizes = []
    for count in (10_000_000, 100_000_000):
        one = needed(count, _WIDTH, memory=memory)
        room = "" if one.disk <= free else ", more than is free"
        days, hours = count / _CPU_RATE / 86400, count / _GPU_RATE / 3600
        time = f"{days:,.0f} days at {_CPU_RATE} a second, {hours:,.1f} hours at {_GPU_RATE:,}"
        sizes.append(f"{count // 10**6} million take {one.disk / 1e9:,.0f} GB{room} ({one.factory}), {time}")
    detail = (
        f"an index of {_WIDTH} numbers an image: room on this disk for "
        f"{most_on_disk(free, _WIDTH, memory=memory) / 1e6:,.1f} million; faiss in {memory / 2**30:,.0f} GiB of memory "
        f"(millions): {', '.join(graphs)}, IVF and PQ beyond. {'; '.join(sizes)}."
    )
    return Check("library", "ok", detail)


def required_versions(requirements: list[str]) -> dict[str, str]:
    """Package to its versions, of the core requirements in a distribution's metadata.

    Example:
        >>> required_versions(["torch>=2.11", "av<19,>=18", "tensorboard>=2.17; extra == 'trackers'"])
        {'torch': '>=2.11', 'av': '>=18,<19'}
    """
    found = {}
    for requirement in requirements:
        match = re.fullmatch(r"([\w.-]+?)\s*((?:[<>]=?[\d.]+,?\s*)+)", requirement)
        if match:
            bounds = sorted(re.findall(r"[<>]=?[\d.]+", match[2]), reverse=True)  # the lower one first
            found[match[1]] = ",".join(bounds)
    return found


def run_probe(modules: list[str]) -> Probe:
    """Import modules in a fresh interpreter and look at the device."""
    command = [sys.executable, "-P", "-c", _PROBE, *modules]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
        return Probe(**json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        message = f"did not finish importing in {_PROBE_SECONDS} s"
    except (IndexError, ValueError):
        lines = done.stderr.strip().splitlines()
        message = f"the interpreter died with code {done.returncode}: {lines[-1] if lines else 'nothing was said'}"
    return Probe(errors=dict.fromkeys(modules, message), gpu=None, threads=None)


def _module(package: str) -> str:
    return _MODULES.get(package.replace("_", "-"), package.replace("-", "_"))


def _requirements() -> list[str]:
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _out_of(bounds: str, version: str) -> str | None:
    """How a version breaks bounds such as `>=18,<19`; None where it does not."""
    for bound in bounds.split(","):
        limit = bound.lstrip("<>=")
        if bound.startswith(">=") and _release(version) < _release(limit):
            return f"older than {limit}"
        if bound.startswith("<") and not bound.startswith("<=") and _release(version) >= _release(limit):
            return f"not below {limit}"
    return None


def _release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, so that 2.15.0+cpu and 2.15.0 are one."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match[0].split(".")) if match else ()
