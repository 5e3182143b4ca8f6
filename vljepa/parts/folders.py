"""Trust in a part's files: their hash, their JSON, and what to do when they are not what they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vljepa.configs import PartSpec
from vljepa.errors import PartError
from vljepa.parts.fetch import fetch
from vljepa.parts.progress import fetch_bar
from vljepa.parts.store import asset_folder, file_sha256, is_fetched

_INDEX_FILE = "model.safetensors.index.json"
_hashes: dict[tuple[str, int, int], str] = {}


def fetched_asset(name: str) -> Path:
    """Folder of an asset, fetched on its first use.

    Raises:
        AssetError: It is unknown or cannot be fetched.
    """
    if is_fetched(name):
        return asset_folder(name)
    with fetch_bar() as bar:
        return fetch(name, progress=bar)


def weight_files(folder: Path) -> list[Path]:
    """The `*.safetensors` of a part, those of dense heads in sub-folders such as `2_Dense` included."""
    return sorted([*folder.glob("*.safetensors"), *folder.glob("[0-9]*_*/*.safetensors")])


def weights_sha256(folder: Path) -> str:
    """One SHA-256 over the names and contents of `weight_files`, in sorted order.

    A file's hash is kept in memory for as long as its size and modification time stay.
    """
    digest = hashlib.sha256()
    for path in weight_files(folder):
        status = path.stat()
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
        if key not in _hashes:
            _hashes[key] = file_sha256(path)
        digest.update(f"{_hashes[key]}  {path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def verify_part(spec: PartSpec, folder: Path) -> None:
    """Refuse weights other than those that the part was first loaded with; a spec without a hash trusts all.

    Raises:
        PartError: The hash differs.
    """
    if spec.sha256 is None:
        return
    found = weights_sha256(folder)
    if found != spec.sha256:
        raise PartError(
            f"the weights of {str(spec)!r} in {folder} have SHA-256 {found[:12]}..., not the {spec.sha256[:12]}... "
            "that this model was made with.",
            fix=restore_hint(spec),
        )


def require_files(spec: PartSpec, folder: Path, *, config_file: str) -> None:
    """Refuse a folder without a part's config or without all of its weights.

    Raises:
        PartError: What is missing, and how to get it.
    """
    if not folder.is_dir():
        raise PartError(f"there is no folder {folder} for the part {str(spec)!r}.", fix="check the path.")
    if not (folder / config_file).is_file() and (folder / "modules.json").is_file():
        raise PartError(
            f"{folder} is a sentence-transformers model whose transformer lies in a sub-folder.",
            fix="name that folder as the part, and say y_encoder.pooling, dense, prefix and max_tokens.",
        )
    if not (folder / config_file).is_file():
        raise PartError(f"{folder} has no {config_file}.", fix=restore_hint(spec))
    present = {path.name for path in folder.glob("*.safetensors")}
    if not present:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        found = f"only {pickled[0]}, a pickle" if pickled else "none"
        raise PartError(
            f"{folder} needs *.safetensors weights and has {found}.",
            fix="use a revision with safetensors, or save the model again with `save_pretrained`.",
        )
    index = folder / _INDEX_FILE
    shards = set(read_object(spec, index).get("weight_map", {}).values()) if index.is_file() else set()
    missing = sorted(shards - present)
    if missing:
        raise PartError(f"{folder} lacks the weight file {missing[0]}.", fix=restore_hint(spec))


def read_object(spec: PartSpec, path: Path) -> dict[str, Any]:
    """A part's JSON file.

    Raises:
        PartError: It is missing, not JSON, or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PartError(f"{path} is not readable JSON: {error}.", fix=restore_hint(spec)) from error
    if not isinstance(content, dict):
        raise PartError(f"{path} holds {type(content).__name__}, not an object.", fix=restore_hint(spec))
    return content


def restore_hint(spec: PartSpec) -> str:
    """How to get the right files of a part."""
    if spec.source == "asset":
        return f"run `vljepa assets fetch --force {spec.name}`."
    if spec.source == "folder":
        return "put the original files back, or point the part at another folder."
    return "pin the part's `@revision` to the commit it was made with, and download it again."
