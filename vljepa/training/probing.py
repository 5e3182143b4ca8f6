"""What does a frozen encoder know? Probes of its latents on labelled images or clips.

Features are computed once and kept; then probes with several learning rates and weight decays are trained side by side
on the same batches, and validation data choose one of them (V-JEPA 2, arXiv 2506.09985, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vljepa.checkpoint.encoders import load_encoder
from vljepa.data.labelled import Labelled, read_labelled
from vljepa.data.progress import track
from vljepa.errors import ConfigError, DataError
from vljepa.metrics.classification import accuracy_interval
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.device import resolve_device
from vljepa.models.probes import AttentiveProbe, LinearProbe
from vljepa.models.x_encoder import XEncoder
from vljepa.training.probe_features import ProbeFeatures, ProbeSet

Head = Literal["attentive", "linear", "flat", "knn"]
HELD_OUT = 5
"""Without validation data, every fifth of each class is it."""
NEIGHBOURS = (1, 5, 10, 20)
_TEMPERATURE = 0.07
"""Of a neighbour's vote, as in DINO's protocol (arXiv 2104.14294)."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """How probes are trained.

    Args:
        head: `attentive`: a learned query looks at all tokens. `linear`: of the mean token of each step in time.
            `flat`: linear of all tokens side by side, each at its place. `knn`: nothing is trained.
        layers: Of an attentive probe: 1, or 4 as V-JEPA 2.
        lrs: Learning rates, and
        weight_decays: weight decays: a probe for each pair.
        epochs: Passes over the training data.
        batch_size: Samples of a step.
        seed: Of initialisation and order.
    """

    head: Head = "attentive"
    layers: int = 1
    lrs: tuple[float, ...] = (3e-3, 1e-3, 3e-4)
    weight_decays: tuple[float, ...] = (0.01, 0.4)
    epochs: int = 20
    batch_size: int = 64
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class ProbeResult:
    """What a probe came to.

    Args:
        encoder: Name of the encoder.
        head: Which probe.
        classes: Names of the classes.
        train: Samples that it was trained on.
        validation: Samples that chose its settings, and
        validation_accuracy: its accuracy on them.
        test: Samples that it was measured on; those of validation where there were no others, see `chosen_on_test`.
        accuracy: Top-1 on them, 0 to 1; `low` to `high` is its 95% interval (Wilson).
        chosen: Its settings.
        chosen_on_test: Whether the accuracy is that of the data that chose the settings, and so too high.
        confusion: Test samples by class (row) and prediction (column).
        skipped: Reason per image or clip that could not be read.
        predictions: Class of each test sample, by its name.
    """

    encoder: str
    head: Head
    classes: list[str]
    train: int
    validation: int
    validation_accuracy: float
    test: int
    accuracy: float
    low: float
    high: float
    chosen: dict[str, float]
    chosen_on_test: bool
    confusion: list[list[int]]
    skipped: dict[str, str] = field(default_factory=dict)
    predictions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def confused(self) -> list[tuple[str, str, int]]:
        """Pairs of class and prediction that differ, the most frequent first."""
        pairs = [
            (self.classes[row], self.classes[column], count)
            for row, counts in enumerate(self.confusion)
            for column, count in enumerate(counts)
            if row != column and count > 0
        ]
        return sorted(pairs, key=lambda pair: -pair[2])


def probe(
    train: str | Path,
    *,
    encoder: str | XEncoder,
    test: str | Path | None = None,
    validation: str | Path | None = None,
    frames: int = 8,
    pool_grid: int | None = None,
    settings: ProbeSettings = ProbeSettings(),
    cache: str | Path = "cache/probes",
    device: str | None = None,
    limit: int | None = None,
) -> ProbeResult:
    """Train probes of a frozen encoder on labelled images or clips, choose one and measure it.

    Args:
        train: A folder with a folder per class, or a table with `image` or `video` and `text`, as of `read_labelled`.
        encoder: As of `load_encoder`, or an encoder.
        test: What is measured; without it the validation data are.
        validation: What chooses the settings; without it a fifth of the training data.
        frames: Frames of a clip.
        pool_grid: Side of the grid that a frame's tokens are averaged to; None leaves what the model has.
        settings: How probes are trained.
        cache: Folder for the features.
        device: As of `resolve_device`.
        limit: Most training samples, the first ones of a seeded order.

    Raises:
        DataError: Data are missing, have fewer than two classes, or test data have a class that training has not.
        ConfigError: Settings that make no sense.
        CheckpointError, PartError: The encoder cannot be had.

    Example:
        >>> import vljepa
        >>> vljepa.probe("pets/train", encoder="timm:resnet18.a1_in1k", test="pets/test").accuracy  # doctest: +SKIP
    """
    _check(settings)
    keep_freed_memory()
    name = encoder if isinstance(encoder, str) else str(encoder.config.part)
    split = _read(train, validation, test, frames=frames, seed=settings.seed, limit=limit)
    classes = sorted({one.label for one in split[0]})
    model = load_encoder(encoder, pool_grid=pool_grid) if isinstance(encoder, str) else encoder
    features = ProbeFeatures(model.to(resolve_device(device)), Path(cache))
    skipped = features.fill([one for rows in split for one in rows])
    sets = [ProbeSet.of(rows, classes, skipped, features) for rows in split]
    if settings.head == "knn":
        chosen, validated, predicted_N = _nearest(sets)
    else:
        chosen, validated, predicted_N = _trained(sets, settings, classes=len(classes))
    labels_N, tested = sets[2].labels_N.numpy(), sets[2].rows
    confusion_CC = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion_CC, (labels_N, predicted_N), 1)
    hits = int(confusion_CC.trace())
    low, high = accuracy_interval(hits, len(tested))
    return ProbeResult(
        encoder=name,
        head=settings.head,
        classes=classes,
        train=len(sets[0].rows),
        validation=len(sets[1].rows),
        validation_accuracy=validated,
        test=len(tested),
        accuracy=hits / len(tested),
        low=low,
        high=high,
        chosen=chosen,
        chosen_on_test=test is None,
        confusion=confusion_CC.tolist(),
        skipped={str(one): reason for one, reason in skipped.items()},
        predictions={str(row.visual): classes[number] for row, number in zip(tested, predicted_N, strict=True)},
    )


def _read(
    train: str | Path,
    validation: str | Path | None,
    test: str | Path | None,
    *,
    frames: int,
    seed: int,
    limit: int | None,
) -> tuple[list[Labelled], list[Labelled], list[Labelled]]:
    """Training, validation and test data, of the same classes."""
    rows = read_labelled(train, frames=frames)
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(rows))[:limit]
    rows = [rows[place] for place in order]
    if validation is None:
        rows, held = _divided(rows)
    else:
        held = read_labelled(validation, frames=frames)
    tested = held if test is None else read_labelled(test, frames=frames)
    classes, seen = {one.label for one in rows}, {one.visual for one in rows}
    for what, some in (("validation", held), ("test", tested)):
        unknown = sorted({one.label for one in some} - classes)
        if unknown:
            raise DataError(
                f"the {what} data have {len(unknown)} classes that the training data have not, first {unknown[0]!r}.",
                fix="use the same names of classes in both, or leave these out.",
            )
        again = [one.visual for one in some if one.visual in seen]
        if again:
            raise DataError(
                f"{len(again)} of the {what} data are training data, too, first {str(again[0])!r}.",
                fix="leave them out of one of both: what was learned says nothing of what is new.",
            )
    return rows, held, tested


def _trained(
    sets: Sequence[ProbeSet], settings: ProbeSettings, *, classes: int
) -> tuple[dict[str, float], float, NDArray[np.int64]]:
    """Settings of the probe that validation chooses, its accuracy there, and what it says of the test set."""
    train, held, tested = sets
    torch.manual_seed(settings.seed)
    width = next(iter(train.parts())).tokens_BND.shape[-1]
    flat = settings.head == "flat"
    moments = train.moments(flat=flat) if settings.head != "attentive" else ()

    def new() -> nn.Module:
        if moments:
            return LinearProbe(*moments, classes, flat=flat)
        return AttentiveProbe(width, classes, layers=settings.layers, tell_steps=train.features.by_frame)

    pairs = [(lr, decay) for lr in settings.lrs for decay in settings.weight_decays]
    probes = [new() for _ in pairs]
    optimizers = [
        torch.optim.AdamW(one.parameters(), lr=lr, weight_decay=decay)
        for one, (lr, decay) in zip(probes, pairs, strict=True)
    ]
    batches = -(-len(train.rows) // settings.batch_size)
    total = batches * settings.epochs
    for step in track(range(total), what=f"training {len(probes)} probes", total=total):
        epoch, place = divmod(step, batches)
        order = np.random.Generator(np.random.Philox([settings.seed, epoch])).permutation(len(train.rows))
        chosen = order[place * settings.batch_size : (place + 1) * settings.batch_size]
        latents = train.features.read([train.rows[one] for one in chosen])
        labels_B = train.labels_N[chosen]
        factor = _schedule(step, total)
        for one, optimizer, (lr, _) in zip(probes, optimizers, pairs, strict=True):
            optimizer.param_groups[0]["lr"] = lr * factor
            F.cross_entropy(one(latents.tokens_BND, steps=latents.steps), labels_B).backward()
            optimizer.step()
            optimizer.zero_grad()
    accuracies = [float((_predicted(one, held) == held.labels_N).float().mean()) for one in probes]
    best = int(np.argmax(accuracies))
    lr, decay = pairs[best]
    return {"lr": lr, "weight_decay": decay}, accuracies[best], _predicted(probes[best], tested).numpy()


@torch.no_grad()
def _predicted(head: nn.Module, rows: ProbeSet) -> Tensor:
    head.eval()
    return torch.cat([head(part.tokens_BND, steps=part.steps).argmax(1) for part in rows.parts()])


def _schedule(step: int, total: int) -> float:
    """Share of the learning rate: a twentieth of the steps up, then a cosine to 0."""
    up = max(1, total // 20)
    return (step + 1) / up if step < up else 0.5 * (1 + float(np.cos(np.pi * (step - up) / max(1, total - up))))


def _nearest(sets: Sequence[ProbeSet]) -> tuple[dict[str, float], float, NDArray[np.int64]]:
    """The number of neighbours that validation chooses, its accuracy there, and what they say of the test set."""
    train, held, tested = sets
    known_NE = train.by_steps()
    mean_E = known_NE.mean(0)
    known_NE = F.normalize(known_NE - mean_E, dim=-1)

    def voted(rows: ProbeSet, count: int) -> Tensor:
        alike_MN = F.normalize(rows.by_steps() - mean_E, dim=-1) @ known_NE.T
        near = alike_MN.topk(min(count, len(known_NE)), dim=1)
        votes_MC = torch.zeros(len(alike_MN), int(train.labels_N.max()) + 1)
        return votes_MC.scatter_add_(1, train.labels_N[near.indices], (near.values / _TEMPERATURE).exp()).argmax(1)

    accuracies = [float((voted(held, count) == held.labels_N).float().mean()) for count in NEIGHBOURS]
    best = int(np.argmax(accuracies))
    return {"neighbours": NEIGHBOURS[best]}, accuracies[best], voted(tested, NEIGHBOURS[best]).numpy()


def _divided(rows: Sequence[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
    """Training data, and every fifth of each class as validation data."""
    seen: dict[str, int] = {}
    kept: list[Labelled] = []
    held: list[Labelled] = []
    for one in rows:
        seen[one.label] = seen.get(one.label, 0) + 1
        (held if seen[one.label] % HELD_OUT == 0 else kept).append(one)
    if not held:
        raise DataError(
            f"no class has {HELD_OUT} samples, so none can be held out for validation.", fix="give validation data."
        )
    return kept, held


def _check(settings: ProbeSettings) -> None:
    if settings.head not in get_args(Head):
        raise ConfigError(f"there is no head {settings.head!r}.", fix=f"use one of {', '.join(get_args(Head))}.")
    if min(settings.layers, settings.epochs, settings.batch_size) < 1:
        raise ConfigError("layers, epochs and batch_size are at least 1.", fix="raise the one that is 0.")
    if not settings.lrs or not settings.weight_decays or min(settings.lrs) <= 0 or min(settings.weight_decays) < 0:
        raise ConfigError(
            f"lrs = {settings.lrs} and weight_decays = {settings.weight_decays} are no rates.",
            fix="give at least one of each, such as 0.001 and 0.01.",
        )
