"""From a `PartSpec` to a local folder with config and weights, whatever the source."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from vljepa.backends.registry import backend_of
from vljepa.configs import PartSpec
from vljepa.errors import PartError
from vljepa.parts.folders import fetched_asset, read_object, require_files, weights_sha256
from vljepa.parts.hub import commit_of, snapshot


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
    backend = backend_of(spec)
    if spec.source == "random":
        raise PartError(f"the random part {str(spec)!r} has no files.", fix="build it from its `config` and `seed`.")
    if spec.source == "asset":
        folder = fetched_asset(spec.name)
    elif spec.source == "folder":
        folder = Path(spec.name).expanduser().absolute()
    else:
        repository = backend.repository(spec.name)
        folder = snapshot(repository, revision=spec.revision, files=backend.files, name=spec.name)
    require_files(spec, folder, config_file=backend.config_file)
    return folder


def resolve_part(spec: PartSpec) -> PartSpec:
    """The part with its architecture, the hash of its weights and, from the hub, its commit: what a save holds.

    Raises:
        PartError: As `part_folder`.
    """
    folder = part_folder(spec)
    found: dict[str, Any] = {"config": part_config(spec), "sha256": spec.sha256 or weights_sha256(folder)}
    if spec.source == "hub":
        found["revision"] = commit_of(folder) or spec.revision
    return spec.model_copy(update=found)


def copy_tokenizer(spec: PartSpec, source: Path, target: Path) -> None:
    """Copy the files of a part's tokenizer from one folder to another."""
    if source.resolve() == target.resolve():
        return
    target.mkdir(parents=True, exist_ok=True)
    for pattern in backend_of(spec).tokenizer_files:
        for file in source.glob(pattern):
            shutil.copyfile(file, target / file.name)


def part_config(spec: PartSpec) -> dict[str, Any]:
    """The part's architecture: `spec.config` when it is filled in, else what lies beside the weights.

    Raises:
        PartError: As `part_folder`; or the file is not a JSON object.
    """
    if spec.config is not None:
        return spec.config
    return read_object(spec, part_folder(spec) / backend_of(spec).config_file)
