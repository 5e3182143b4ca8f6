import torch

from vljepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.training.movement import Movement


def test_the_share_that_moved_per_group():
    model = VLJEPA(load_preset("toy"))
    movement = Movement(model)
    assert set(movement.metrics().values()) == {0.0}
    with torch.no_grad():
        model.log_scale += 0.1
        model.predictor.head.weight[: model.config.embed_dim // 2] += 1e-6
    shares = movement.metrics()
    assert shares["moved/temperature"] == 1.0
    assert 0 < shares["moved/predictor"] < 0.1
    assert shares["moved/y_encoder_head"] == 0.0
    assert "moved/x_encoder" not in shares
