"""Any X-Encoder by a name: a library's, that of a VL-JEPA, or one that `method: v_jepa` has trained."""

from __future__ import annotations

import json
from pathlib import Path

from vljepa.backends import part_folder
from vljepa.backends.files import resolve_part
from vljepa.backends.resolve import resolve_vision
from vljepa.checkpoint.digests import digest
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import PartSpec, XEncoderConfig
from vljepa.configs.part import BACKENDS
from vljepa.errors import CheckpointError
from vljepa.models.x_encoder import XEncoder
from vljepa.parts.saved import CONFIG_FILE, MODEL_TYPE


def load_encoder(name: str, *, pool_grid: int | None = None) -> XEncoder:
    """An X-Encoder with its weights, in eval mode.

    Args:
        name: `BACKEND:NAME` of a part, such as `timm:vit_small_patch14_dinov2.lvd142m` or `v_jepa:runs/shapes/best`; a
            folder of `vljepa train`, of either method; a folder of transformers; or a VL-JEPA such as `mini`.
        pool_grid: Side of the grid that a frame's tokens are averaged to; None leaves what the model has.

    Raises:
        CheckpointError: There is no such model.
        PartError: It cannot be had, or is no vision encoder.
    """
    part = _part_of(name)
    if part is None:
        try:
            encoder = VLJEPA.from_pretrained(name).x_encoder
        except CheckpointError as error:
            raise CheckpointError(
                error.message,
                fix="name a part such as timm:resnet18.a1_in1k or transformers:./FOLDER, a folder of `vljepa train`, "
                "or a model such as mini.",
            ) from error
        if pool_grid is not None:
            encoder.config = encoder.config.model_copy(update={"pool_grid": pool_grid})
        return encoder
    config = resolve_vision(XEncoderConfig(part=part, pool_grid=pool_grid))
    config = config.model_copy(update={"part": resolve_part(part)})
    encoder = XEncoder(config)
    encoder.load_pretrained(part_folder(part))
    return encoder


def encoder_fingerprint(encoder: XEncoder) -> str:
    """Key of its features: weights, preprocessing and token pooling; not where the weights lie, once they are known."""
    stated = encoder.config.stated()
    part = stated["part"]
    if "sha256" in part:
        stated["part"] = {key: value for key, value in part.items() if key not in ("name", "source")}
    return digest(stated)


def _part_of(name: str) -> PartSpec | None:
    """The part that a name is; None of a VL-JEPA."""
    backend, colon, rest = name.partition(":")
    if colon and backend in BACKENDS:
        local = Path(rest).expanduser()
        spec = f"{backend}:{local.absolute()}" if local.is_dir() else name
        return PartSpec.model_validate(spec)
    kind = _model_type(Path(name).expanduser())
    if kind is None or kind == MODEL_TYPE:
        return None
    library = "v_jepa" if kind == "v_jepa" else "transformers"
    place = str(Path(name).expanduser().absolute())
    return PartSpec(backend=library, name=place, source="folder")


def _model_type(folder: Path) -> str | None:
    try:
        raw = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    kind = raw.get("model_type") if isinstance(raw, dict) else None
    return kind if isinstance(kind, str) else None
