import copy
from itertools import pairwise

import pytest
import torch

from vljepa import VLJEPA
from vljepa.configs import OptimConfig, load_preset
from vljepa.training.optim import build_optimizer, learning_rate, parameter_groups, set_learning_rate


@pytest.fixture(scope="module")
def model():
    config = load_preset("toy")
    config.y_encoder.target = "trained"
    return VLJEPA(config)


def test_every_trainable_parameter_is_in_exactly_one_group(model):
    groups = parameter_groups(model, config=OptimConfig())
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    trainable = [id(parameter) for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(grouped) == sorted(trainable)
    assert {group["name"] for group in groups} == {"predictor", "gate", "y_encoder", "y_encoder_head", "temperature"}


def test_vectors_are_not_decayed_and_the_y_encoder_learns_slowly(model):
    for group in parameter_groups(model, config=OptimConfig(weight_decay=0.1, y_encoder_lr_scale=0.05)):
        assert group["lr_scale"] == (0.05 if group["name"] == "y_encoder" else 1.0)
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.1 if parameter.ndim > 1 else 0.0)


def test_frozen_parameters_are_left_out():
    frozen = VLJEPA(load_preset("toy"))
    names = {group["name"] for group in parameter_groups(frozen, config=OptimConfig())}
    assert "y_encoder" not in names
    assert "x_encoder" not in names


def test_schedule():
    config = OptimConfig(lr=1.0, warmup_steps=4, schedule="cosine")
    rates = [learning_rate(step, config=config, steps=104) for step in range(104)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[54] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3
    assert all(later <= earlier for earlier, later in pairwise(rates[4:]))
    constant = config.model_copy(update={"schedule": "constant"})
    assert learning_rate(90, config=constant, steps=104) == 1.0
    assert learning_rate(0, config=OptimConfig(lr=1.0, warmup_steps=0), steps=1) == 1.0


def test_groups_get_their_share(model):
    optimizer = build_optimizer(model, config=OptimConfig(y_encoder_lr_scale=0.05))
    set_learning_rate(optimizer, 2.0)
    assert {group["lr"] for group in optimizer.param_groups} == {2.0, 0.1}
    assert isinstance(optimizer, torch.optim.AdamW)


def test_fused_steps_are_plain_steps_up_to_rounding(model):
    def stepped(*, fused):
        torch.manual_seed(0)
        own = copy.deepcopy(model)
        optimizer = build_optimizer(own, config=OptimConfig(lr=1e-3, fused=fused))
        assert all(bool(group["fused"]) == fused for group in optimizer.param_groups)
        for _ in range(3):
            for parameter in (one for group in optimizer.param_groups for one in group["params"]):
                parameter.grad = torch.randn(parameter.shape)
            optimizer.step()
        return dict(own.named_parameters())

    plain, fused = stepped(fused=False), stepped(fused=True)
    for name, parameter in plain.items():
        torch.testing.assert_close(fused[name], parameter, rtol=1e-5, atol=1e-7, msg=name)
    assert any(not torch.equal(plain[name], start) for name, start in model.named_parameters())
