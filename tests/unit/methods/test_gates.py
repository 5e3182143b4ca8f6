"""The residual's gate in the log: the mean of what it gave, in training and in validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.unit.models.test_aligned import dual, seen
from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AdaptersConfig, RunConfig, load_preset
from vljepa.methods.vision_language.gates import GateLog
from vljepa.models.residuals import AskedGate
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


def test_a_scalar_gate_is_its_number_and_training_and_validation_are_apart() -> None:
    model = dual(gate=0.25)
    log = GateLog(model)
    latents = model.encode_vision(seen(model))
    assert log.training() == {} == log.validation()
    model.train().predict(latents)
    assert log.validation() == {}
    assert log.training() == {"gate": 0.25}
    assert log.training() == {}, "since the last call"
    model.eval().predict(latents)
    assert log.validation() == {"gate": 0.25}


def test_of_a_label_prior_it_is_the_mean_over_the_samples() -> None:
    model = VLJEPA.from_parts(load_preset("toy")).eval()
    log = GateLog(model)
    parts = [model.encode_vision(torch.rand(size, 1, 3, 64, 64)) for size in (1, 3)]
    gates = []
    for latents in parts:
        features = model.residual.features(latents)
        gates.append(model.predictor.gate(model.predictor(latents, hint_BE=features), latents))
        log.validation()
    for latents in parts:
        model.predict(latents)
    assert log.validation()["gate"] == pytest.approx(float(torch.cat(gates).detach().mean()), rel=1e-5)


def test_with_adapters_it_is_the_trained_gate_and_not_that_of_the_start(tmp_path: Path) -> None:
    model = dual(gate=0.25)
    model.save_pretrained(tmp_path / "start")
    adapt(model, AdaptersConfig(), base=str(tmp_path / "start"), seed=0)
    log = GateLog(model)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name.endswith("gate.modules_to_save.default.value"):
            torch.nn.init.constant_(parameter, 0.75)
    latents = model.encode_vision(seen(model))
    model.predict(latents)
    assert model.adapters is not None
    with model.adapters.left_out():
        model.predict(latents)
    assert log.validation() == {"gate": 0.75}
    assert [one.value.tolist() for one in model.modules() if isinstance(one, AskedGate)] == [[0.25] * 2, [0.75] * 2]


def test_the_log_has_it_in_steps_and_validations(
    make_run: Callable[..., RunConfig], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    Trainer(run, device="cpu").fit()
    lines = [line for line in read_log(Path(run.train.output)) if line["kind"] in ("train", "validation")]
    assert all(0 < line["gate"] < 5 for line in lines)
    assert len({line["gate"] for line in lines}) > 2, "it moves"
    assert "gate 0." in capsys.readouterr().err
    without = make_run("without", model={"residual": None})
    Trainer(without, device="cpu").fit()
    assert not any("gate" in line for line in read_log(Path(without.train.output)))
