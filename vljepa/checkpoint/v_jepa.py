"""V-JEPA models on disk: our own folders, and those of transformers' V-JEPA 2 both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vljepa.backends import part_folder
from vljepa.backends.v_jepa import saved_v_jepa
from vljepa.backends.vjepa2 import MODEL_TYPE as RELEASED
from vljepa.backends.vjepa2 import our_config, read_transformers, write_transformers
from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import PartSpec, VJEPAConfig
from vljepa.errors import CheckpointError
from vljepa.models.video.v_jepa import VJEPA
from vljepa.parts.saved import CONFIG_FILE, WEIGHTS_FILE


def write_v_jepa(config: VJEPAConfig, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as `read_v_jepa` and `v_jepa:FOLDER` read it."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = {"model_type": "v_jepa", **config.model_dump(mode="json")}
    (folder / CONFIG_FILE).write_text(json.dumps(raw, indent=2), encoding="utf-8")
    write_tensors(tensors, folder / WEIGHTS_FILE)


def read_v_jepa_config(name: str | Path) -> VJEPAConfig:
    """Config of a saved V-JEPA, or of a V-JEPA 2 of transformers.

    Raises:
        CheckpointError: There is no such model, or it is of another kind.
        PartError: A V-JEPA 2 that differs from the released ones in more than sizes.
    """
    part, folder, raw = _found(name)
    if raw.get("model_type") != RELEASED:
        return saved_v_jepa(raw, where=str(folder))
    from transformers import VJEPA2Config

    return our_config(VJEPA2Config.from_pretrained(folder), part=part, folder=folder)


def read_v_jepa(name: str | Path) -> VJEPA:
    """A saved V-JEPA, or a V-JEPA 2 of transformers as one of ours, with its encoder as teacher too.

    Args:
        name: A folder, or a repository of the hub.

    Raises:
        CheckpointError: There is no such model, it is of another kind, or lacks tensors.
        PartError: A V-JEPA 2 that differs from the released ones in more than sizes.

    Example:
        >>> model = read_v_jepa("runs/v_jepa_shapes/best")  # doctest: +SKIP
        >>> latents = model.represent(pixels)  # doctest: +SKIP
    """
    part, folder, raw = _found(name)
    if raw.get("model_type") == RELEASED:
        config, tensors = read_transformers(part, folder)
        teacher = {name: one for name, one in tensors.items() if name.startswith("encoder.")}
        tensors |= {f"teacher.{name}": one for name, one in teacher.items()}
    else:
        config = saved_v_jepa(raw, where=str(folder))
        tensors = read_tensors(folder / WEIGHTS_FILE, fix="save the model again.")
    model = VJEPA(config)
    lacking = sorted(model.state_dict().keys() ^ tensors.keys())
    if lacking:
        raise CheckpointError(
            f"the weights in {str(folder)!r} do not fit its {CONFIG_FILE}: {len(lacking)} tensors are only in one of "
            f"them, first {lacking[0]!r}.",
            fix="save the model again.",
        )
    model.load_state_dict(tensors)
    return model.eval()


def write_as_transformers(model: VJEPA, folder: Path) -> None:
    """Save a model as transformers' V-JEPA 2, the teacher as its encoder where there is one.

    Raises:
        PartError: It has what theirs does not have, such as sin-cos positions.
    """
    state = {f"encoder.{name}": one for name, one in model.representing.state_dict().items()}
    state |= {f"predictor.{name}": one for name, one in model.predictor.state_dict().items()}
    write_transformers(model.config, state, folder)


def _found(name: str | Path) -> tuple[PartSpec, Path, dict[str, Any]]:
    """The part, its folder and its config.json."""
    folder = Path(name).expanduser()
    place = str(folder.absolute()) if folder.is_dir() else str(name)
    if not folder.is_dir() and (place[0] in "./~" or place.count("/") != 1):
        raise CheckpointError(
            f"there is no model {str(name)!r}.", fix="give a folder of a saved V-JEPA, or a repository of the hub."
        )
    part = PartSpec.model_validate(
        {"backend": "transformers", "name": place, "source": "folder" if folder.is_dir() else "hub"}
    )
    folder = part_folder(part)
    try:
        raw = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{str(folder / CONFIG_FILE)!r} is not readable: {error}.", fix="save it again."
        ) from error
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    if kind not in ("v_jepa", RELEASED):
        raise CheckpointError(
            f"{str(name)!r} is no V-JEPA (its model_type is {kind!r}).",
            fix="give a folder of `vljepa train` with method v_jepa, or a V-JEPA 2 of transformers.",
        )
    return part, folder, raw
