"""From a `PartSpec` to a local folder with config and weights, whatever the source, and trust in what lies there."""

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

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_HUB_SUBFOLDERS = ["*/*"]
_INDEX_FILE = "model.safetensors.index.json"
_hashes: dict[tuple[str, int, int], str] = {}


def part_folder(spec: PartSpec) -> Path:
    """Local folder with the part's config file, `*.safetensors` and, for text models, tokenizer files.

    An asset is fetched on its first use, a hub repository is downloaded into the hub's own cache; both are offline
    afterwards. Pickled weights are never downloaded.

    Raises:
        PartError: A gated, missing or unreachable repository, or a folder that lacks config or weights.
        AssetError: The asset is unknown or cannot be fetched.

    Example:
        >>> part_folder(PartSpec.model_validate("timm:asset/efficientnet-lite0"))  # doctest: +SKIP
    """
    if spec.source == "random":
        raise PartError(f"the random part {str(spec)!r} has no files.", fix="build it from its `config` and `seed`.")
    if spec.source == "asset":
        folder = _fetched_asset(spec.name)
    elif spec.source == "folder":
        folder = Path(spec.name).expanduser().absolute()
    else:
        folder = _hub_folder(spec)
    _require_files(spec, folder)
    return folder


def part_config(spec: PartSpec) -> dict[str, Any]:
    """The part's architecture: `spec.config` when it is filled in, else what lies beside the weights.

    For open_clip that is `open_clip_config.json`, for the others `config.json`.

    Raises:
        PartError: As `part_folder`; or the file is not a JSON object.
    """
    if spec.config is not None:
        return spec.config
    return _read_object(spec, part_folder(spec) / _config_file(spec))


def weights_sha256(folder: Path) -> str:
    """One SHA-256 over the names and contents of the folder's `*.safetensors`, in sorted order.

    A file's hash is kept in memory for as long as its size and modification time stay.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        status = path.stat()
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
        if key not in _hashes:
            _hashes[key] = file_sha256(path)
        digest.update(f"{_hashes[key]}  {path.name}\n".encode())
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
            fix=_restore(spec),
        )


def _fetched_asset(name: str) -> Path:
    if is_fetched(name):
        return asset_folder(name)
    with fetch_bar() as bar:
        return fetch(name, progress=bar)


def _hub_folder(spec: PartSpec) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    try:
        return Path(
            huggingface_hub.snapshot_download(
                _repository(spec),
                revision=spec.revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_SUBFOLDERS,
            )
        )
    except errors.GatedRepoError as error:
        raise PartError(
            f"{spec.name!r} is gated: its owner grants access on request, and this machine has none.",
            fix="ask for access at the repository's page, then run `hf auth login`; "
            "or use the ungated preset base-open.",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise PartError(
            f"{spec.name!r} has no revision {spec.revision!r}.", fix="name a branch, tag or commit of it."
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise PartError(
            f"there is no repository {spec.name!r} on the hub, or it is private.",
            fix="check the spelling (owner/name); for a private one, run `hf auth login`.",
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as error:
        raise PartError(
            f"{spec.name!r} is not in the local hub cache, and the hub cannot be reached.",
            fix="connect once (and unset HF_HUB_OFFLINE); or use the preset mini, whose parts come with pip.",
        ) from error
    except OSError as error:
        summary = str(error).strip().splitlines()
        raise PartError(
            f"{spec.name!r} could not be downloaded: {summary[0] if summary else type(error).__name__}.",
            fix="try again; finished files are kept.",
        ) from error


def _repository(spec: PartSpec) -> str:
    """Hub id; timm's own names, such as `resnet18.a1_in1k`, live under `timm/`."""
    return f"timm/{spec.name}" if spec.backend == "timm" and "/" not in spec.name else spec.name


def _config_file(spec: PartSpec) -> str:
    return "open_clip_config.json" if spec.backend == "open_clip" else "config.json"


def _require_files(spec: PartSpec, folder: Path) -> None:
    if not folder.is_dir():
        raise PartError(f"there is no folder {folder} for the part {str(spec)!r}.", fix="check the path.")
    if not (folder / _config_file(spec)).is_file():
        raise PartError(f"{folder} has no {_config_file(spec)}.", fix=_restore(spec))
    present = {path.name for path in folder.glob("*.safetensors")}
    if not present:
        pickled = sorted(path.name for path in folder.glob("*.bin"))
        found = f"only {pickled[0]}, a pickle" if pickled else "none"
        raise PartError(
            f"{folder} needs *.safetensors weights and has {found}.",
            fix="use a revision with safetensors, or save the model again with `save_pretrained`.",
        )
    index = folder / _INDEX_FILE
    shards = set(_read_object(spec, index).get("weight_map", {}).values()) if index.is_file() else set()
    missing = sorted(shards - present)
    if missing:
        raise PartError(f"{folder} lacks the weight file {missing[0]}.", fix=_restore(spec))


def _read_object(spec: PartSpec, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PartError(f"{path} is not readable JSON: {error}.", fix=_restore(spec)) from error
    if not isinstance(content, dict):
        raise PartError(f"{path} holds {type(content).__name__}, not an object.", fix=_restore(spec))
    return content


def _restore(spec: PartSpec) -> str:
    if spec.source == "asset":
        return f"run `vljepa assets fetch --force {spec.name}`."
    if spec.source == "folder":
        return "put the original files back, or point the part at another folder."
    return "pin the part's `@revision` to the commit it was made with, and download it again."
