"""Action-conditioned V-JEPA 2 models on disk: the predictor's weights, and by which encoder they were trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vljepa.checkpoint.encoders import encoder_fingerprint, load_encoder
from vljepa.checkpoint.saved_world import read_config
from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import VJEPA2ACConfig, validate
from vljepa.errors import CheckpointError
from vljepa.models.layers.sharded import load_tensors
from vljepa.models.video.action_world import ActionWorld
from vljepa.parts.saved import CONFIG_FILE, WEIGHTS_FILE

MODEL_TYPE = "v_jepa2_ac"


def new_action_world(config: VJEPA2ACConfig) -> ActionWorld:
    """A model with the encoder that its config names, and a new predictor."""
    return ActionWorld(config, load_encoder(config.encoder, pool_grid=config.pool_grid))


def config_to_save(model: ActionWorld) -> dict[str, Any]:
    """What config.json is to hold."""
    about = {"model_type": MODEL_TYPE, "encoder_fingerprint": encoder_fingerprint(model.x_encoder)}
    return about | model.config.model_dump(mode="json")


def write_action_world(about: Mapping[str, Any], predictor: Mapping[str, Tensor], folder: Path) -> None:
    """Write a model as `read_action_world` reads it.

    Args:
        about: As of `config_to_save`.
        predictor: Its predictor's tensors.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(json.dumps(dict(about), indent=2), encoding="utf-8")
    write_tensors(predictor, folder / WEIGHTS_FILE)


def read_action_world(folder: str | Path) -> ActionWorld:
    """A trained model, in eval mode, with its encoder.

    Raises:
        CheckpointError: There is none, or its encoder is not the one that it was trained with.
        PartError: Its encoder cannot be had.

    Example:
        >>> energy = ActionWorldEnergy(read_action_world("runs/rooms/best"))  # doctest: +SKIP
    """
    raw = read_config(Path(folder), MODEL_TYPE)
    own = {name: value for name, value in raw.items() if name != "encoder_fingerprint"}
    model = new_action_world(validate(VJEPA2ACConfig, own, where=str(Path(folder) / CONFIG_FILE)))
    read_into(model, Path(folder))
    return model.eval()


def read_into(model: ActionWorld, folder: Path) -> None:
    """Fill a model's predictor from a folder.

    Raises:
        CheckpointError: It is of another model, or its encoder has changed since.
    """
    raw = read_config(folder, MODEL_TYPE)
    if any(raw.get(key) != value for key, value in model.config.model_dump(mode="json").items()):
        raise CheckpointError(f"{str(folder)!r} holds a model with another config.", fix="choose another train.output.")
    if raw.get("encoder_fingerprint") != encoder_fingerprint(model.x_encoder):
        raise CheckpointError(
            f"the encoder {model.config.encoder!r} is not the one that {str(folder)!r} was trained with.",
            fix="put that encoder back, or train anew.",
        )
    load_tensors(model.predictor, read_tensors(folder / WEIGHTS_FILE, fix="save the model again."))
