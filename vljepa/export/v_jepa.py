"""A V-JEPA as transformers' `VJEPA2Model`, compared with it."""

from __future__ import annotations

from pathlib import Path

import torch

from vljepa.checkpoint.v_jepa import read_v_jepa, write_as_transformers
from vljepa.errors import CheckpointError

TOLERANCE = 1e-4
"""Largest difference of a latent."""


@torch.no_grad()
def export_transformers(name: str | Path, folder: Path) -> float:
    """Write a V-JEPA as a folder of transformers; gives the largest difference of a latent from the model's own.

    Args:
        name: As of `read_v_jepa`.
        folder: Where to.

    Raises:
        CheckpointError: There is no such model, or the folder computes something else.
        PartError: The model has what transformers' class does not have.
    """
    from transformers import VJEPA2Model

    model = read_v_jepa(name)
    write_as_transformers(model, folder)
    size = model.config.image.size
    assert size is not None
    pixels = torch.randn(1, model.config.frames, 3, *size, generator=torch.Generator().manual_seed(0))
    theirs = VJEPA2Model.from_pretrained(folder).eval()(pixels, skip_predictor=True).last_hidden_state
    difference = float((theirs - model.represent(pixels)).abs().max())
    if difference > TOLERANCE:
        raise CheckpointError(
            f"{str(folder)!r} computes latents that differ by {difference:.1e} in transformers.",
            fix="report it with the versions of both.",
        )
    return difference
