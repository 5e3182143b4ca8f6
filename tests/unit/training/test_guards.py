import math

import pytest
import torch
from torch import nn

from vljepa.errors import ConfigError
from vljepa.training.guards import LossSpikeError, NonFiniteError, SpikeWatch, check_finite, check_master_weights


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


def seen(watch, losses):
    for step, loss in enumerate(losses):
        watch.see(loss, step=step)


def falling(steps, *, noise=0.1, seed=0):
    """A loss like that of a healthy run: from 5.5 down to 0.2, noisy."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randn(steps, generator=random).tolist()
    return [0.2 + 5.3 * math.exp(-step / 100) * (1 + noise * draw) for step, draw in enumerate(drawn)]


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.4])
def test_healthy_losses_and_short_spikes_pass(noise):
    watch = SpikeWatch(10.0)
    losses = falling(600, noise=noise)
    losses[300:310] = [50.0] * 10
    seen(watch, losses)


@pytest.mark.parametrize("start", [0, 100, 500])
def test_a_loss_that_does_not_come_down_again_stops(start):
    watch = SpikeWatch(10.0)
    losses = falling(600)[: 60 + start] + [20.0] * 20
    with pytest.raises(LossSpikeError, match=rf"20 at step {len(losses) - 1} .*for 20 steps.*train\.spike=null"):
        seen(watch, losses)
    seen(SpikeWatch(10.0), losses[:-1])  # the control: one step fewer
    seen(SpikeWatch(None), losses)


@pytest.mark.parametrize("before", [0, 10, 100])
def test_a_nan_trips_the_watch(before):
    """PITFALLS 23: `loss > bound` is False for it."""
    with pytest.raises(LossSpikeError):
        seen(SpikeWatch(10.0), [*falling(before), math.nan])


def test_the_watch_goes_on_from_its_state():
    losses = falling(200) + [20.0] * 10
    first, second = SpikeWatch(10.0), SpikeWatch(10.0)
    seen(first, losses)
    second.restore(first.state())
    for watch in (first, second):
        with pytest.raises(LossSpikeError):
            seen(watch, [20.0] * 10)
    assert first.state() == second.state()
