"""Where fetched parts live, and whether they are whole.

An asset folder appears by one rename of a finished folder, so a folder that exists was once complete. Its own
`manifest.json` lists every file with size and hash: sizes are checked at each use, hashes by `verify`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vljepa.errors import AssetError
from vljepa.parts.manifest import Asset, get_asset

MANIFEST_FILE = "manifest.json"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Damage:
    """A file of an asset that is not what it should be.

    Args:
        file: Name inside the asset folder.
        problem: What is wrong with it.
    """

    file: str
    problem: str


def cache_home() -> Path:
    """The folder that everything fetched lives in: `VLJEPA_HOME`, else `vljepa` in the user's cache folder."""
    home = os.environ.get("VLJEPA_HOME")
    if home:
        return Path(home).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vljepa"


def assets_root() -> Path:
    """The folder of all asset folders; it need not exist yet."""
    return cache_home() / "assets"


def asset_folder(name: str) -> Path:
    """Folder of a fetched asset, with `config.json`, `*.safetensors` and, for text models, tokenizer files.

    Raises:
        AssetError: Unknown, not fetched, or a file is missing or cut short.

    Example:
        >>> asset_folder("minilm-l6-v2") / "config.json"  # doctest: +SKIP
    """
    asset = get_asset(name)
    folder = assets_root() / name
    if not os.path.isdir(folder):
        raise AssetError(f"the asset {name!r} is not in {folder.parent}.", fix=f"run `vljepa assets fetch {name}`.")
    damage = _quick_damage(asset, folder)
    if damage:
        raise AssetError(
            f"the asset {name!r} in {folder} is damaged: {damage[0].file} {damage[0].problem}.",
            fix=f"run `vljepa assets fetch --force {name}`.",
        )
    return folder


def is_fetched(name: str) -> bool:
    """Whether the pinned version of the asset is in the cache with every file at its full size."""
    asset = get_asset(name)
    folder = assets_root() / name
    return os.path.isdir(folder) and not _quick_damage(asset, folder)


def verify(name: str) -> list[Damage]:
    """Hash every file of a fetched asset; an empty list means that all is well.

    Raises:
        AssetError: Unknown, or not fetched at all.
    """
    asset = get_asset(name)
    folder = assets_root() / name
    if not os.path.isdir(folder):
        raise AssetError(f"the asset {name!r} is not in {folder.parent}.", fix=f"run `vljepa assets fetch {name}`.")
    damage = _quick_damage(asset, folder)
    broken = {found.file for found in damage}
    if MANIFEST_FILE in broken:
        return damage
    for file, row in _read_manifest(folder)["files"].items():
        # The pinned hash comes first: whoever changes a file may have changed the manifest beside it.
        expected = asset.outputs.get(file, row["sha256"])
        if file not in broken and file_sha256(folder / file) != expected:
            damage.append(Damage(file, "has changed: its SHA-256 is another one"))
    return damage


def write_manifest(asset: Asset, folder: Path) -> None:
    """List every file of a converted asset, with size and hash, in its `manifest.json`."""
    files = {path.name: {"sha256": file_sha256(path), "size": path.stat().st_size} for path in sorted(folder.iterdir())}
    content = {"asset": asset.name, "package": asset.package, "version": asset.version, "files": files}
    (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _read_manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    return content


def _quick_damage(asset: Asset, folder: Path) -> list[Damage]:
    """Everything that can be seen without reading the weights."""
    try:
        manifest = _read_manifest(folder)
        version = manifest["version"]
        sizes = {str(file): int(row["size"]) for file, row in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return [Damage(MANIFEST_FILE, "is missing or not readable")]
    if version != asset.version:
        return [Damage(MANIFEST_FILE, f"is of version {version}, this release needs {asset.version}")]
    damage = []
    for file, size in sizes.items():
        path = folder / file
        if not path.is_file():
            damage.append(Damage(file, "is missing"))
        elif path.stat().st_size != size:
            damage.append(Damage(file, f"has {path.stat().st_size:,} bytes instead of {size:,}"))
    return damage
