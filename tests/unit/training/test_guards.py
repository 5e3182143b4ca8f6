import math

import pytest
import torch
from torch import nn

from vljepa.errors import ConfigError
from vljepa.training.guards import NonFiniteError, check_finite, check_master_weights


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_numbers_stop(value):
    with pytest.raises(NonFiniteError, match=r"loss is .* at step 7"):
        check_finite(value, what="loss", step=7)


def test_numbers_pass():
    check_finite(1e30, what="loss", step=0)


def test_bf16_master_weights_are_refused():
    with pytest.raises(ConfigError, match=r"'weight' is torch\.bfloat16"):
        check_master_weights(nn.Linear(2, 2).bfloat16())
    check_master_weights(nn.Linear(2, 2).bfloat16().requires_grad_(False))
    check_master_weights(nn.Linear(2, 2))


def test_why_bf16_masters_are_refused():
    """The mistake itself: at a small learning rate most bf16 weights never move."""
    moved = {}
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        weight = nn.Parameter(torch.randn(1000).to(dtype))
        before = weight.detach().clone()
        optimizer = torch.optim.AdamW([weight], lr=5e-6, weight_decay=0.0)
        for _ in range(20):
            weight.grad = torch.randn(1000).to(dtype)
            optimizer.step()
        moved[dtype] = float((weight != before).float().mean())
    assert moved[torch.float32] > 0.99
    assert moved[torch.bfloat16] < 0.2
