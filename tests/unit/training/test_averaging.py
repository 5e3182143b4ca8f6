import pytest
import torch
from torch import nn

from vljepa.training.averaging import WeightAverage


class Model(nn.Module):
    def __init__(self, value=0.0):
        super().__init__()
        self.trained = nn.Parameter(torch.full((3,), value))
        self.frozen = nn.Parameter(torch.full((2,), 7.0), requires_grad=False)
        self.register_buffer("buffer", torch.full((2,), 8.0))


def fill(model, value):
    with torch.no_grad():
        model.trained.fill_(value)


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_average_follows_the_weights_by_the_formula():
    """Step s keeps min(decay, s / (s + 9)): 1/10, 2/11, then the decay once that is smaller."""
    model = Model(1.0)
    average = WeightAverage(model, decay=0.2)
    expected = 1.0
    for step, (value, kept) in enumerate([(2.0, 0.1), (5.0, 2 / 11), (-3.0, 0.2), (4.0, 0.2)], start=1):
        fill(model, value)
        average.after_step(step=step)
        expected = kept * expected + (1 - kept) * value
        torch.testing.assert_close(average.tensors["trained"], torch.full((3,), expected))


def test_late_steps_keep_the_decay():
    model = Model(1.0)
    average = WeightAverage(model, decay=0.99)
    fill(model, 2.0)
    average.after_step(step=10_000)
    torch.testing.assert_close(average.tensors["trained"], torch.full((3,), 1.01))


def test_the_average_is_no_view_of_the_weights_and_takes_no_gradient():
    model = Model(1.0)
    average = WeightAverage(model, decay=0.9)
    fill(model, 5.0)
    assert average.tensors["trained"].tolist() == [1.0] * 3
    assert not average.tensors["trained"].requires_grad


def test_frozen_tensors_are_not_averaged():
    assert WeightAverage(Model(), decay=0.9).tensors.keys() == {"trained"}


@pytest.mark.parametrize("fails", [False, True])
def test_applied_gives_the_average_and_brings_the_weights_back_to_the_last_bit(fails):
    model = Model()
    with torch.no_grad():
        model.trained.copy_(torch.tensor([1 / 3, -0.0, 1e-40]))
    average = WeightAverage(model, decay=0.5)
    fill_with = torch.tensor([0.1, 1e30, -1 / 7])
    with torch.no_grad():
        model.trained.copy_(fill_with)
    average.after_step(step=1)
    before, kept, parameter = bits(model), average.tensors["trained"].clone(), model.trained
    try:
        with average.applied():
            assert torch.equal(model.trained, kept)
            assert not torch.equal(model.trained, before["trained"])
            assert model.frozen.tolist() == [7.0, 7.0]
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert model.trained is parameter, "the optimizer must go on with the same parameter"
    after = bits(model)
    assert all(torch.equal(after[name].view(torch.int32), before[name].view(torch.int32)) for name in before)
    assert torch.equal(average.tensors["trained"], kept)


def test_a_decay_of_zero_keeps_nothing_and_changes_nothing():
    model = Model(1.0)
    average = WeightAverage(model, decay=0)
    fill(model, 2.0)
    average.after_step(step=1)
    assert average.tensors == {}
    with average.applied():
        assert model.trained.tolist() == [2.0] * 3
    assert model.trained.tolist() == [2.0] * 3


def test_a_saved_average_is_taken_up_again():
    model = Model(1.0)
    first = WeightAverage(model, decay=0.9)
    fill(model, 3.0)
    first.after_step(step=1)
    second = WeightAverage(model, decay=0.9)
    second.restore(first.tensors)
    assert torch.equal(second.tensors["trained"], first.tensors["trained"])
    second.after_step(step=2)
    assert not torch.equal(second.tensors["trained"], first.tensors["trained"]), "a copy, no alias"


def test_a_resumed_run_may_start_or_stop_averaging():
    model = Model(1.0)
    saved = WeightAverage(model, decay=0.9).tensors
    fill(model, 2.0)
    stopped = WeightAverage(model, decay=0)
    stopped.restore(saved)
    with stopped.applied():
        assert model.trained.tolist() == [2.0] * 3, "a stale average must not be validated"
    started = WeightAverage(model, decay=0.9)
    started.restore({})
    assert started.tensors["trained"].tolist() == [2.0] * 3
