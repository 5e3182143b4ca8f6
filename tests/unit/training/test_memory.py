"""Gradient checkpointing: the same weights to the last bit, dropout included, and layers that are computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vljepa import VLJEPA
from vljepa.configs import RunConfig, load_preset
from vljepa.errors import ConfigError
from vljepa.training.memory import checkpoint_layers
from vljepa.training.trainer import Trainer


@pytest.fixture
def train(make_run: Callable[..., RunConfig]) -> Callable[..., dict[str, torch.Tensor]]:
    """Weights after some steps of toy with dropout, its Y-Encoder trained too."""
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.2
    model["y_encoder"]["target"] = "trained"

    def train(name: str, *, grad_cache: int | None = None, **settings: Any) -> dict[str, torch.Tensor]:
        run = make_run(name, model=model, train={"steps": 4, "precision": "fp32", **settings})
        objective = run.objective.model_copy(update={"grad_cache": grad_cache})
        Trainer(run.model_copy(update={"objective": objective}), device="cpu").fit()
        return load_file(Path(run.train.output) / "last" / "model.safetensors")

    return train


@pytest.mark.parametrize("grad_cache", [None, 5])
def test_no_weight_changes(train: Callable[..., dict[str, torch.Tensor]], grad_cache: int | None) -> None:
    plain = train("plain", grad_cache=grad_cache)
    saved = train("saved", grad_cache=grad_cache, gradient_checkpointing=True)
    other = train("other", grad_cache=grad_cache, seed=1)
    assert all(torch.equal(plain[key], saved[key]) for key in plain)
    assert not all(torch.equal(plain[key], other[key]) for key in plain)


def test_layers_are_computed_again_only_when_asked() -> None:
    model = VLJEPA(load_preset("toy")).train()
    backbone = model.predictor.backbone
    calls: list[int] = []
    layer = next(module for module in backbone.modules() if type(module).__name__.endswith("Layer"))
    inner = next(module for module in layer.modules() if isinstance(module, torch.nn.Linear))
    inner.register_forward_pre_hook(lambda *_: calls.append(1))
    mask = torch.ones(2, 3, dtype=torch.bool)
    counts = []
    for enabled in (False, True, False):
        checkpoint_layers(model.trained_backbones(), enabled=enabled)
        calls.clear()
        tokens = torch.randn(2, 3, backbone.width, requires_grad=True)
        backbone.encode_embeddings(tokens, mask, attention="full").sum().backward()
        counts.append(len(calls))
    assert counts == [1, 2, 1]


def test_a_part_that_cannot_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = VLJEPA(load_preset("toy"))
    monkeypatch.setattr(type(model.predictor.backbone.model), "supports_gradient_checkpointing", False)
    checkpoint_layers(model.trained_backbones(), enabled=False)
    with pytest.raises(ConfigError, match="no gradient checkpointing"):
        checkpoint_layers(model.trained_backbones(), enabled=True)
