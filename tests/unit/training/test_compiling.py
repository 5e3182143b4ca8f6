"""torch.compile: the same training up to rounding, checkpoints that know nothing of it."""

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters

from vljepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.training import trainer
from vljepa.training.compiling import compile_layers
from vljepa.training.trainer import Trainer


def trained(make_run, name, **train):
    model = load_preset("toy").model_dump(mode="json")
    model["y_encoder"]["target"] = "trained"
    settings = {"steps": 2, "precision": "fp32", **train}
    run = make_run(name, model=model, data={"validation": []}, train=settings)
    counters.clear()
    result = Trainer(run, device="cpu").fit()
    VLJEPA.from_pretrained(result.model_folder)
    return load_file(Path(run.train.output) / "last" / "model.safetensors"), counters["stats"]["unique_graphs"]


@pytest.fixture
def quick_backend(monkeypatch):
    """Traces and differentiates graphs as torch.compile does, and leaves the minutes of generating C++ out."""
    monkeypatch.setattr(trainer, "compile_layers", partial(compile_layers, backend="aot_eager"))


@pytest.mark.usefixtures("quick_backend")
def test_the_same_training_up_to_rounding(make_run):
    plain, graphs = trained(make_run, "plain")
    assert graphs == 0
    compiled, graphs = trained(make_run, "compiled", compile=True)
    assert graphs >= 2, "a graph for each transformer"
    other, _ = trained(make_run, "other", seed=1)
    assert plain.keys() == compiled.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, atol=2e-5, rtol=1e-3)
    assert any(not torch.allclose(other[name], plain[name], atol=2e-5, rtol=1e-3) for name in plain)
