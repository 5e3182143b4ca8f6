"""What a validation of V-JEPA measures: the error at fixed masks, whether latents collapse, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.configs import RunConfig
from vljepa.data.records import Record
from vljepa.data.skips import check_skipped
from vljepa.errors import ConfigError, ImageError, VideoError
from vljepa.methods.video.inputs import plain_clip, read
from vljepa.metrics.collapse import effective_rank
from vljepa.models.types import Batch
from vljepa.models.video.masks import draw_roles
from vljepa.models.video.v_jepa import VJEPA
from vljepa.processing.text import normalise_text
from vljepa.validation.tasks import Metrics

PANEL = 128
"""Clips of the error and of the collapse panel, evenly spaced over the source."""
NEIGHBOURS = 10
_AT_ONCE = 16


@dataclass
class ClipPanel:
    """One validation source.

    Args:
        name: Of the source.
        clips_NTCHW: Pixels, in half precision.
        labels: Number of each clip's text; empty where some have none, or all have the same.
    """

    name: str
    clips_NTCHW: Tensor
    labels: list[int]


def read_panels(run: RunConfig, model: VJEPA) -> list[ClipPanel]:
    """Clips of the validation sources, which are read once and kept.

    Raises:
        DataError: A source is not usable, or too many clips cannot be read.
        ConfigError: A source has fewer than two clips.
    """
    panels = []
    for source in run.data.validation:
        clips: list[Tensor] = []
        records: list[Record] = []
        skipped: dict[str, str] = {}
        rows = read(source, run)
        for record in rows:
            assert record.image is not None
            try:
                clips.append(plain_clip(record.image, model.config).half())
                records.append(record)
            except (ImageError, VideoError) as error:
                skipped[str(record.image)] = error.message
        check_skipped(skipped, total=len(rows), tolerated=run.data.max_skipped)
        if len(clips) < 2:
            raise ConfigError(f"the source {source.name!r} has fewer than two clips.", fix="remove it.")
        panels.append(ClipPanel(source.name, torch.stack(clips), _numbers(records)))
    return panels


@torch.no_grad()
def measure(model: VJEPA, panel: ClipPanel, *, device: torch.device) -> Metrics:
    """`error`, `std` and `effective_rank` of a part of the clips; `knn` of all of them, where they have labels.

    `std` is the mean over channels of the standard deviation of a latent over all clips and tokens, before any
    normalisation of the target; `effective_rank` is of clips' means. `knn` is the leave-one-out accuracy of the
    nearest neighbours by what each step in time holds.
    """
    few = np.unique(np.linspace(0, len(panel.clips_NTCHW) - 1, PANEL).round().astype(int))
    chosen = few if not panel.labels else np.arange(len(panel.clips_NTCHW))
    latents_NLD = _latents(model, panel.clips_NTCHW[chosen], device)
    shown_PLD = latents_NLD[np.searchsorted(chosen, few)]
    roles_PKN = draw_roles(model.config.masks, grid=model.config.grid, clips=len(few), seed=[0, 0])
    errors = []
    for start in range(0, len(few), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        pixels = panel.clips_NTCHW[few[part]].float().to(device)
        errors.append(model(Batch(pixels_BTCHW=pixels, roles_BKN=roles_PKN[part].to(device)))["error"].cpu())
    metrics = {
        "error": float(torch.cat(errors).mean()),
        "std": float(shown_PLD.flatten(0, 1).std(0).mean()),
        "effective_rank": effective_rank(_centred(shown_PLD.mean(1).numpy())),
    }
    if panel.labels:
        count, _, width = latents_NLD.shape
        steps = latents_NLD.view(count, model.config.grid[0], -1, width).mean(2)
        metrics["knn"] = _leave_one_out(steps, panel.labels)
    return metrics


def _latents(model: VJEPA, clips_NTCHW: Tensor, device: torch.device) -> Tensor:
    parts = (part.float().to(device) for part in torch.split(clips_NTCHW, _AT_ONCE))
    return torch.cat([model.represent(part).float().cpu() for part in parts])


def _leave_one_out(steps_NTD: Tensor, labels: Sequence[int]) -> float:
    """Share of clips whose neighbours' most frequent label is theirs; the nearer ones count more.

    In NumPy, for a validation may run under autocast.
    """
    features_ND = _centred(steps_NTD.flatten(1).numpy())
    features_ND /= np.maximum(np.linalg.norm(features_ND, axis=1, keepdims=True), 1e-12)
    alike_NN = features_ND @ features_ND.T
    np.fill_diagonal(alike_NN, -2.0)
    nearest_NK = np.argsort(-alike_NN, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(labels) - 1)]
    numbers_N = np.asarray(labels)
    votes_NC = np.zeros((len(labels), numbers_N.max() + 1))
    weights_NK = np.exp(np.take_along_axis(alike_NN, nearest_NK, axis=1))
    np.add.at(votes_NC, (np.arange(len(labels))[:, None], numbers_N[nearest_NK]), weights_NK)
    return float((votes_NC.argmax(1) == numbers_N).mean())


def _centred(values_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = values_ND - values_ND.mean(0)
    return centred


def _numbers(records: Sequence[Record]) -> list[int]:
    texts = [normalise_text(record.texts[0]) if record.texts else "" for record in records]
    names = sorted(set(texts))
    return [names.index(text) for text in texts] if all(texts) and 1 < len(names) < len(texts) else []
