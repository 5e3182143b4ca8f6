"""V-JEPA 2 of transformers and ours: the same tensors under other names.

transformers' `VJEPA2Model` encodes whole clips and hides tokens from its predictor afterwards, so that what is hidden
has already been seen by attention: it is for use, not for training. Ours encodes what is seen alone.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from vljepa.backends.transformers_vision import image_fields
from vljepa.backends.weights import transformers_state
from vljepa.configs import ImageConfig, PartSpec
from vljepa.configs.v_jepa import (
    LatentPredictorConfig,
    RopePositions,
    VideoEncoderConfig,
    VJEPAConfig,
)
from vljepa.errors import PartError

MODEL_TYPE = "vjepa2"
_PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json")
_OUTER = (
    ("encoder.embeddings.patch_embeddings.proj", "encoder.patches"),
    ("encoder.layernorm", "encoder.body.norm"),
    ("predictor.embeddings.predictor_embeddings", "predictor.embed.0"),
    ("predictor.layernorm", "predictor.body.norm"),
    ("predictor.proj", "predictor.proj"),
)
"""Modules by transformers' name and by ours."""
_TOKENS = ("predictor.embeddings.mask_tokens", "predictor.mask_tokens")
_INNER = (("attention.proj", "proj"), ("mlp.fc1", "fc1"), ("mlp.fc2", "fc2"), ("norm1", "norm1"), ("norm2", "norm2"))
_PARTS = ("query", "key", "value")
_LAYER = re.compile(r"^(encoder|predictor)\.body\.layers\.(\d+)\.(\w+)\.(weight|bias)$")


def our_config(theirs: Any, *, part: PartSpec, folder: Path) -> VJEPAConfig:
    """Config of ours for the architecture and the preprocessing in a folder of transformers.

    Raises:
        PartError: It is of a kind that ours is not, or its preprocessing cannot be expressed.
    """
    wanted = {"in_chans": 3, "qkv_bias": True, "hidden_act": "gelu", "layer_norm_eps": 1e-6}
    for name, value in wanted.items():
        if getattr(theirs, name) != value:
            raise PartError(
                f"{part} has {name} = {getattr(theirs, name)!r}, and V-JEPA is built with {value!r}.",
                fix="use a released V-JEPA 2, or one that differs from it in sizes alone.",
            )
    side = int(theirs.crop_size)
    image = {"size": (side, side), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    fields: dict[str, Any] = {**image, "resize": "squash", "interpolation": "bilinear"}
    if any((folder / name).is_file() for name in _PROCESSORS):
        fields = image_fields(part, folder)
    return VJEPAConfig(
        image=ImageConfig.model_validate(fields),
        frames=theirs.frames_per_clip,
        encoder=VideoEncoderConfig(
            width=theirs.hidden_size,
            depth=theirs.num_hidden_layers,
            heads=theirs.num_attention_heads,
            mlp_ratio=theirs.mlp_ratio,
            patch=theirs.patch_size,
            tubelet=theirs.tubelet_size,
            positions=RopePositions(released=True),
        ),
        predictor=LatentPredictorConfig(
            width=theirs.pred_hidden_size,
            depth=theirs.pred_num_hidden_layers,
            heads=theirs.pred_num_attention_heads,
            mlp_ratio=theirs.pred_mlp_ratio,
            mask_tokens=theirs.pred_num_mask_tokens,
        ),
    )


def their_config(ours: VJEPAConfig) -> Any:
    """Transformers' config for a model of ours.

    Raises:
        PartError: It has what theirs does not have.
    """
    from transformers import VJEPA2Config

    lacking = _lacking(ours)
    if lacking:
        raise PartError(
            f"transformers' V-JEPA 2 has no place for {lacking}.",
            fix="keep this model in our own format, as v_jepa:FOLDER, or train one without.",
        )
    assert ours.image.size is not None
    encoder, predictor = ours.encoder, ours.predictor
    return VJEPA2Config(
        patch_size=encoder.patch,
        crop_size=ours.image.size[0],
        frames_per_clip=ours.frames,
        tubelet_size=encoder.tubelet,
        hidden_size=encoder.width,
        num_hidden_layers=encoder.depth,
        num_attention_heads=encoder.heads,
        mlp_ratio=encoder.mlp_ratio,
        pred_hidden_size=predictor.width,
        pred_num_hidden_layers=predictor.depth,
        pred_num_attention_heads=predictor.heads,
        pred_mlp_ratio=predictor.mlp_ratio,
        pred_num_mask_tokens=predictor.mask_tokens,
    )


def _lacking(ours: VJEPAConfig) -> str:
    positions = ours.encoder.positions
    assert ours.image.size is not None
    if not (isinstance(positions, RopePositions) and positions.released):
        turned = "rope" if isinstance(positions, RopePositions) else positions.name
        return f"positions of the kind {turned!r} (only rope with released: true)"
    if ours.levels > 1 or ours.context_loss is not None or ours.target.name == "pixels":
        return "levels, a context loss or targets of pixels"
    return "frames that are not square" if ours.image.size[0] != ours.image.size[1] else ""


def our_tensors(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of `VJEPA2Model` under our names, `encoder...` and `predictor...`."""
    found = {_TOKENS[1]: theirs[_TOKENS[0]].flatten(1)}
    for name, other in _OUTER:
        weight = theirs[f"{name}.weight"]
        found[f"{other}.weight"] = weight.flatten(1) if weight.ndim == 5 else weight
        found[f"{other}.bias"] = theirs[f"{name}.bias"]
    for name in theirs:
        match = re.match(r"^(encoder|predictor)\.layer\.(\d+)\.norm1\.(weight|bias)$", name)
        if match is None:
            continue
        side, number, kind = match.groups()
        before, after = f"{side}.layer.{number}", f"{side}.body.layers.{number}"
        for one, other in _INNER:
            found[f"{after}.{other}.{kind}"] = theirs[f"{before}.{one}.{kind}"]
        found[f"{after}.qkv.{kind}"] = _joined([theirs[f"{before}.attention.{part}.{kind}"] for part in _PARTS])
    return found


def their_tensors(ours: dict[str, Tensor], config: VJEPAConfig) -> dict[str, Tensor]:
    """Tensors of ours under transformers' names."""
    encoder = config.encoder
    found = {_TOKENS[0]: ours[_TOKENS[1]][:, None, None]}
    for name, other in _OUTER:
        for kind in ("weight", "bias"):
            found[f"{name}.{kind}"] = ours[f"{other}.{kind}"]
    first = f"{_OUTER[0][0]}.weight"
    found[first] = found[first].view(-1, 3, encoder.tubelet, encoder.patch, encoder.patch)
    inner = {other: one for one, other in _INNER}
    for name, tensor in ours.items():
        match = _LAYER.match(name)
        if match is None:
            continue
        side, number, module, kind = match.groups()
        if module == "qkv":
            for part, piece in zip(_PARTS, tensor.chunk(3), strict=True):
                found[f"{side}.layer.{number}.attention.{part}.{kind}"] = piece
        else:
            found[f"{side}.layer.{number}.{inner[module]}.{kind}"] = tensor
    return found


def read_transformers(part: PartSpec, folder: Path) -> tuple[VJEPAConfig, dict[str, Tensor]]:
    """Config and tensors of ours from a folder of transformers.

    Raises:
        PartError: It is of another kind, or lacks tensors.
    """
    from transformers import VJEPA2Config, VJEPA2Model

    theirs = VJEPA2Config.from_pretrained(folder)
    config = our_config(theirs, part=part, folder=folder)
    return config, our_tensors(transformers_state(VJEPA2Model, folder, theirs))


def write_transformers(config: VJEPAConfig, tensors: dict[str, Tensor], folder: Path) -> None:
    """Save a model of ours as `VJEPA2Model` with its preprocessing.

    Raises:
        PartError: It has what theirs does not have.
    """
    from transformers import VJEPA2Model, VJEPA2VideoProcessor

    theirs, image = their_config(config), config.image
    assert image.size is not None
    if image.resize not in ("squash", "shortest_edge"):
        raise PartError(
            f"transformers has no video preprocessing of the kind {image.resize!r}.",
            fix="set image.resize to squash or shortest_edge.",
        )
    model = VJEPA2Model(theirs)
    model.load_state_dict(their_tensors(tensors, config))
    size: dict[str, Any] = {"size": {"height": image.size[0], "width": image.size[1]}, "do_center_crop": False}
    if image.resize == "shortest_edge":
        size = {
            "size": {"shortest_edge": image.resize_to or image.size[0]},
            "crop_size": {"height": image.size[0], "width": image.size[1]},
        }
    number = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}[image.interpolation or "bilinear"]
    processor = VJEPA2VideoProcessor(
        **size, image_mean=list(image.mean or ()), image_std=list(image.std or ()), resample=number
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _joined(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(parts)
