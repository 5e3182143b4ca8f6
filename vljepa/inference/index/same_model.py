"""An index belongs to the model that made it."""

from __future__ import annotations

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import DataError, TextSpaceError
from vljepa.inference.index.entry import Header


def header_of(model: VLJEPA, *, folder: str = "", segments: str = "") -> Header:
    """What an index of a model says about itself."""
    config = model.config
    return Header(
        model=f"{config.x_encoder.part}, {config.predictor.part}, {config.y_encoder.part}",
        fingerprint=model.fingerprint(),
        text_space=model.text_space_hash(),
        folder=folder,
        segments=segments,
        width=config.embed_dim,
    )


def check_same_model(name: str, theirs: Header, ours: Header) -> None:
    """Refuse an index that our model has not made.

    Raises:
        TextSpaceError: Another model has made it.
        DataError: What it says of itself cannot be right.
    """
    if theirs.text_space != ours.text_space:
        raise TextSpaceError(
            f"{name} was made by another model ({theirs.model}, text space {theirs.text_space}) than this one "
            f"({ours.model}, text space {ours.text_space}).",
            fix="use the model that made it, or make the index again with this one.",
        )
    if theirs.fingerprint != ours.fingerprint:
        raise TextSpaceError(
            f"{name} was made by another model ({theirs.fingerprint}) than this one ({ours.fingerprint}) in the same "
            "text space; its scores would be wrong.",
            fix="build the index again with `vljepa index`, or use the model that made it.",
        )
    if theirs.width != ours.width:
        raise DataError(
            f"{name} is not a sound index: its rows have {theirs.width} numbers, and those of its model have "
            f"{ours.width}.",
            fix="make the index again with `vljepa index PATH -o INDEX`.",
        )
