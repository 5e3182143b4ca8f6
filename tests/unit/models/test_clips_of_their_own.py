"""A Predictor for clips alone: it begins as a copy, learns, and images stay as they are to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.models.test_clips import clip_of
from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.clips import freeze_images, trains_clips_alone, with_clips
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AdaptersConfig, ClipsConfig
from vljepa.training.compiling import compile_layers
from vljepa.training.memory import checkpoint_layers


def learn(model: VLJEPA) -> VLJEPA:
    assert model.predictor.clip is not None
    with torch.no_grad():
        model.predictor.clip.head.weight.mul_(-1)
        if model.predictor.clip.gate is not None:
            for parameter in model.predictor.clip.gate.parameters():
                parameter.add_(0.1)
    return model


@pytest.fixture
def own(toy: VLJEPA) -> VLJEPA:
    return with_clips(toy, ClipsConfig(predictor="own"))


def test_clips_are_learned_and_images_stay_as_they_are(toy: VLJEPA, own: VLJEPA) -> None:
    toy.config.calibration.residual = own.config.calibration.residual = 3.0
    image, clip = clip_of(toy, steps=1), clip_of(toy)
    assert torch.equal(own.predict(image), toy.predict(image))
    toy.config.calibration.residual = 1.0
    assert torch.equal(own.predict(clip), toy.predict(clip)), "a copy at first; the factor is for images"
    learn(own)
    assert (own.predict(clip) - toy.predict(clip)).abs().max() > 0.1
    toy.config.calibration.residual = 3.0
    assert torch.equal(own.predict(image), toy.predict(image))


def test_nothing_else_is_trained_and_all_is_saved(toy: VLJEPA, own: VLJEPA, tmp_path: Path) -> None:
    assert not trains_clips_alone(own, [4, 1])
    assert not trains_clips_alone(toy, [4])
    assert trains_clips_alone(own, [4])
    freeze_images(own)
    trained = {".".join(name.split(".")[:2]) for name, parameter in own.named_parameters() if parameter.requires_grad}
    assert trained == {"predictor.clip", "log_scale"}
    learn(own).save_pretrained(tmp_path)
    loaded = VLJEPA.from_pretrained(tmp_path)
    for steps in (1, 4):
        vision = clip_of(toy, steps=steps)
        assert torch.equal(loaded.predict(vision), own.predict(vision))


def test_what_is_done_to_the_predictor_is_done_to_that_of_clips(own: VLJEPA) -> None:
    assert own.predictor.clip is not None
    checkpoint_layers(own.trained_backbones(), enabled=True)
    assert any(getattr(one, "gradient_checkpointing", False) for one in own.predictor.clip.modules())
    checkpoint_layers(own.trained_backbones(), enabled=False)
    compile_layers(own.trained_backbones(), backend="aot_eager")
    assert own.predictor.clip.backbone.model._compiled_call_impl is not None
    adapt(own, AdaptersConfig(rank=2), base="toy", seed=0)
    assert [any("lora_A" in name for name, _ in one.named_parameters()) for one in own.predictor.both()] == [True] * 2


@pytest.mark.parametrize(("steps", "adapted"), [([1], [True, False]), ([4, 8], [False, True]), ([1, 4], [True, True])])
def test_adapters_go_where_the_data_go(own: VLJEPA, steps: list[int], adapted: list[bool]) -> None:
    adapt(own, AdaptersConfig(rank=2), base="toy", seed=0, steps=steps)
    for one, expected in zip(own.predictor.both(), adapted, strict=True):
        assert any("lora_A" in name for name, _ in one.named_parameters()) == expected
        assert any(parameter.requires_grad for parameter in one.parameters()) == expected
