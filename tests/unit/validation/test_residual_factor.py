"""The factor on the residual's gate is the one that validates best, and nothing else moves."""

from __future__ import annotations

import pytest
import torch

from vljepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.methods import vl_jepa
from vljepa.training import trainer
from vljepa.validation import residual_factor as residual


class FakeEncoder:
    def __init__(self, model):
        self.model = model


@pytest.mark.parametrize("wanted", residual.FACTORS)
def test_the_factor_with_the_best_metric_is_kept(monkeypatch, wanted):
    model = VLJEPA.from_parts(load_preset("toy"))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}

    def measure(tasks, *, encoder):
        factor = encoder.model.config.calibration.residual
        return {"mean": -abs(factor - wanted), "other": factor}

    monkeypatch.setattr(residual, "evaluate_tasks", measure)
    metrics = residual.fit_residual(model, [], encoder=FakeEncoder(model), metric="mean")
    assert model.config.calibration.residual == wanted
    assert metrics == {"mean": 0.0, "other": wanted, "calibration/residual": wanted, residual.LOGGED: 1.0 - wanted}
    said = residual.residual_notes(metrics, metric="mean")
    if wanted == 1.0:
        assert said == []
    else:
        [note] = said
        assert f"0.0000 is more than the log's {1 - wanted:.4f}: the residual's factor {wanted:g} was chosen" in note
        assert "eval/run.py" in note
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_adapters_are_compared_with_what_was_logged_at_the_factor_of_their_base(monkeypatch):
    """A run of adapters keeps the factor of its base, here one that is not among those tried."""
    model = VLJEPA.from_parts(load_preset("toy"))
    model.config.calibration.residual = 2.5
    monkeypatch.setattr(
        residual, "evaluate_tasks", lambda tasks, *, encoder: {"mean": encoder.model.config.calibration.residual % 2.5}
    )
    metrics = residual.fit_residual(model, [], encoder=FakeEncoder(model), metric="mean")
    assert metrics == {"mean": 2.0, "calibration/residual": 2.0, residual.LOGGED: 0.0}
    assert residual.residual_notes({"mean": 1.0}, metric="mean") == []  # a model without a gate


def test_a_model_without_a_gate_is_left_alone():
    config = load_preset("toy")
    config.residual = None
    model = VLJEPA.from_parts(config)
    assert residual.fit_residual(model, [], encoder=FakeEncoder(model), metric="mean") == {}
    assert model.config.calibration.residual == 1.0


def test_the_factor_weighs_the_residual():
    model = VLJEPA.from_parts(load_preset("toy")).eval()
    model.residual.label_features_KE.normal_(generator=torch.Generator().manual_seed(1))
    vision = model.encode_vision(torch.randn(3, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    alone = model.predict(vision, ablate="learned")
    near = []
    for factor in (1.0, 2.0, 100.0):
        model.config.calibration.residual = factor
        near.append(float((model.predict(vision) * alone).sum(1).mean().detach()))
    assert near[0] < near[1] < near[2]
    assert near[2] > 0.99


def test_the_end_of_a_run_says_so(make_run, monkeypatch, capsys):
    lifted = {"mean": 0.9, "calibration/residual": 2.0, residual.LOGGED: 0.1}
    monkeypatch.setattr(vl_jepa, "fit_residual", lambda *arguments, **options: lifted)
    result = trainer.Trainer(make_run(train={"steps": 1})).fit()
    assert "mean 0.9000 is more than the log's 0.1000" in " ".join(capsys.readouterr().err.split())
    assert result.metrics[residual.LOGGED] == 0.1
