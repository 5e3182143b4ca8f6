import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vljepa.objectives import Positives, infonce


def unit(rows, width, *, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, width, dtype=dtype, generator=generator), dim=-1)


def by_hand(prediction, target, scale, positives):
    """The docstring's formula, written as loops."""
    count = len(prediction)
    scores = [[scale * float(prediction[i] @ target[j]) for j in range(count)] for i in range(count)]
    total = 0.0
    for i in range(count):
        mine = [j for j in range(count) if positives[i][j]]
        theirs = [j for j in range(count) if positives[j][i]]
        total += math.log(sum(math.exp(scores[i][j]) for j in range(count))) - sum(scores[i][j] for j in mine) / len(
            mine
        )
        total += math.log(sum(math.exp(scores[j][i]) for j in range(count))) - sum(scores[j][i] for j in theirs) / len(
            theirs
        )
    return total / (2 * count)


# Samples 0 and 1 are one image, 1 and 4 have one text.
POSITIVES = Positives(torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0, 1, 2, 3, 1]))
MASK = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, 1]]).bool()
TILES = [None, 1, 2, 5, 64]


@pytest.mark.parametrize("tile", TILES)
def test_equals_the_formula_written_as_loops(tile):
    prediction, target = unit(5, 7, seed=0), unit(5, 7, seed=1)
    assert torch.equal(POSITIVES.mask(), MASK)
    loss = infonce(prediction, target, logit_scale=torch.tensor([9.0]), positives=POSITIVES, tile=tile)
    assert float(loss) == pytest.approx(by_hand(prediction, target, 9.0, MASK.tolist()), rel=1e-12)


@pytest.mark.parametrize("tile", TILES)
def test_one_positive_is_clips_loss(tile):
    prediction, target, scale = unit(6, 4, seed=2), unit(6, 4, seed=3), torch.tensor([20.0], dtype=torch.float64)
    logits, labels = scale * prediction @ target.T, torch.arange(6)
    clip = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(infonce(prediction, target, logit_scale=scale, tile=tile), clip)
    alone = Positives(torch.arange(6), torch.arange(6))
    torch.testing.assert_close(infonce(prediction, target, logit_scale=scale, positives=alone, tile=tile), clip)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("positives", [None, POSITIVES])
def test_gradients_to_both_sides_and_the_temperature(positives, tile):
    prediction, target = unit(5, 3, seed=4).requires_grad_(), unit(5, 3, seed=5).requires_grad_()
    scale = torch.tensor([5.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda p, t, s: infonce(p, t, logit_scale=s, positives=positives, tile=tile), (prediction, target, scale)
    )


def test_tiles_never_hold_all_logits(monkeypatch):
    """PITFALLS 33: what counts is what exists above inputs and gradients."""
    largest = 0

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    prediction, target = unit(64, 4, seed=0).requires_grad_(), unit(64, 4, seed=1).requires_grad_()
    ids = torch.arange(64)
    for tile, expected in ((8, 8 * 64), (None, 64 * 64)):
        largest = 0
        with Watch():
            scale = torch.tensor([9.0])
            infonce(prediction, target, logit_scale=scale, positives=Positives(ids, ids), tile=tile).backward()
        assert largest == expected


@pytest.mark.parametrize(("tile", "operations"), [(None, 6), (16, 8)])
def test_logits_are_computed_once_or_twice_and_serve_both_directions(tile, operations):
    rows, width = 64, 32
    sides = [unit(rows, width, seed=seed).requires_grad_() for seed in (0, 1)]

    def in_place(out, left, right, **settings):
        return 2 * left[0] * left[1] * right[1]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place}) as counter:
        infonce(*sides, logit_scale=torch.tensor([9.0], requires_grad=True), tile=tile).backward()
    assert counter.get_total_flops() == operations * rows**2 * width


def test_the_tiled_gradients_are_fp32_when_backward_is_called_under_autocast():
    found = []
    for enabled in (False, True):
        sides = [unit(64, 32, seed=seed, dtype=torch.float32).requires_grad_() for seed in (0, 1)]
        scale = torch.tensor([100.0], requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            infonce(*sides, logit_scale=scale, tile=16).backward()
        found.append(torch.cat([one.grad.flatten() for one in (*sides, scale)]))
    assert torch.equal(*found)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_lower_types_are_exact_up_to_their_last_rounding(dtype, tile):
    rounded = [unit(64, 32, seed=seed).to(dtype) for seed in (0, 1)]
    scale = torch.tensor([100.0])
    found, exact = (
        [one.clone().requires_grad_() for one in sides] for sides in (rounded, [s.double() for s in rounded])
    )
    infonce(*found, logit_scale=scale, tile=tile).backward()
    infonce(*exact, logit_scale=scale.double()).backward()
    for one, other in zip(found, exact, strict=True):
        assert one.grad.dtype == dtype
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=torch.finfo(dtype).eps, atol=1e-6)
    assert infonce(*exact, logit_scale=scale, tile=tile).dtype == torch.float64, "never a downcast"


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("autocast", [False, True])
def test_logits_are_fp32_for_bf16_inputs_and_under_autocast(autocast, tile):
    prediction, target = unit(64, 32, seed=6, dtype=torch.float32), unit(64, 32, seed=7, dtype=torch.float32)
    scale = torch.tensor([100.0])
    inputs = (prediction, target) if autocast else (prediction.bfloat16(), target.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = infonce(*inputs, logit_scale=scale, tile=tile)
    exact = infonce(inputs[0].double(), inputs[1].double(), logit_scale=scale.double())
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(exact), rel=1e-5)
    # The control: the same logits in bf16 are visibly wrong.
    wrong = (100 * (inputs[0].bfloat16() @ inputs[1].bfloat16().T)).float() - 100 * (
        inputs[0].double() @ inputs[1].double().T
    )
    assert float(wrong.abs().max()) > 0.05
