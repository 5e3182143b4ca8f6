"""Sigmoid, regression and SIGReg against their formulas; GradCache against the whole batch."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vljepa.configs import ObjectiveConfig
from vljepa.objectives import (
    NO_ANSWER,
    OBJECTIVES,
    TERMS,
    Positives,
    answer_softmax,
    cosine_loss,
    grad_cache,
    infonce,
    l1_loss,
    l2_loss,
    sigmoid_loss,
    sigreg,
)


def unit(rows: int, width: int, *, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, width, dtype=torch.float64, generator=generator), dim=-1)


def test_sigmoid_is_a_sum_over_yes_or_no_questions() -> None:
    prediction, target = unit(3, 4, seed=0), unit(3, 4, seed=1)
    positives = Positives(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2]))
    scale, bias = torch.tensor([7.0], dtype=torch.float64), torch.tensor([-3.0], dtype=torch.float64)
    expected = 0.0
    for i in range(3):
        for j in range(3):
            logit = 7 * float(prediction[i] @ target[j]) - 3
            sign = 1 if positives.mask()[i, j] else -1
            expected += math.log1p(math.exp(-sign * logit)) / 3
    loss = sigmoid_loss(prediction, target, logit_scale=scale, logit_bias=bias, positives=positives)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_regression_losses_on_known_distances() -> None:
    one, two = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert float(cosine_loss(one, two)) == pytest.approx(0.5)
    assert float(l1_loss(one, two)) == pytest.approx(1.0)
    assert float(l2_loss(one, two)) == pytest.approx(1.0)


def test_sigreg_tells_spread_from_collapse_and_pushes_apart() -> None:
    spread, collapsed = unit(512, 64, seed=0), unit(1, 64, seed=0).expand(512, -1)
    even, lump = float(sigreg(spread, seed=0)), float(sigreg(collapsed, seed=0))
    assert even < 2.5
    assert lump > 50 * even
    # Nearly collapsed rows become less alike when the gradient is followed.
    rows = F.normalize(collapsed + 0.02 * unit(512, 64, seed=1), dim=-1).requires_grad_()
    sigreg(rows, seed=0).backward()
    assert rows.grad is not None
    moved = F.normalize(rows.detach() - 0.1 * F.normalize(rows.grad, dim=-1), dim=-1)
    assert float((moved @ moved.T).mean()) < float((rows @ rows.T).detach().mean())


def test_sigreg_is_the_integral_of_its_formula() -> None:
    """Of one sample at 1 or -1 it can be worked out: integrals of Gaussians, one of them times a cosine."""
    exact = math.sqrt(2 * math.pi) - 2 * math.sqrt(math.pi) * math.exp(-1 / 4) + math.sqrt(2 * math.pi / 3)
    assert float(sigreg(torch.ones(1, 1, dtype=torch.float64), seed=0)) == pytest.approx(exact, rel=1e-4)


def test_sigregs_directions_depend_on_the_seed_alone() -> None:
    rows = unit(64, 16, seed=0)
    assert float(sigreg(rows, seed=1)) == float(sigreg(rows, seed=1)) != float(sigreg(rows, seed=2))


def test_the_softmax_over_answers_counts_the_samples_that_have_one() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [9.0, 9.0, 9.0]], requires_grad=True)
    loss = answer_softmax(logits, torch.tensor([1, NO_ANSWER, 2]))
    first = math.log(math.exp(2) + math.exp(1) + 1) - 1
    assert float(loss) == pytest.approx((first + math.log(3)) / 2)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1].any()
    nothing = answer_softmax(logits, torch.tensor([NO_ANSWER] * 3))
    assert float(nothing) == 0
    assert nothing.requires_grad, "all processes go backward through the same terms"


def test_every_loss_and_term_of_a_recipe_is_registered() -> None:
    names = get_args(ObjectiveConfig.model_fields["name"].annotation)
    assert set(names) == OBJECTIVES.keys()
    assert TERMS.keys() <= ObjectiveConfig.model_fields.keys()


class Tower(nn.Module):
    """Two heads with dropout, and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 4))
        self.two = nn.Linear(6, 4)
        self.log_scale = nn.Parameter(torch.ones(1))

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "prediction": F.normalize(self.one(rows), dim=-1),
            "target": F.normalize(self.two(rows), dim=-1),
            "scale": self.log_scale.exp(),
        }


def contrast(outputs: dict[str, torch.Tensor], *, tile: int | None = None) -> torch.Tensor:
    return infonce(outputs["prediction"], outputs["target"], logit_scale=outputs["scale"].mean().view(1), tile=tile)


def gradients(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("tile", [None, 3])
@pytest.mark.parametrize("chunks", [1, 3, 4])
def test_grad_cache_has_the_gradients_of_the_whole_batch(chunks: int, tile: int | None) -> None:
    """Dropout on: the second forward of a chunk must draw what the first one drew. The last chunk is smaller."""
    rows = torch.randn(11, 6, generator=torch.Generator().manual_seed(1)).double()
    pieces = rows.tensor_split(chunks)
    whole, cached = Tower().double(), Tower().double()

    torch.manual_seed(5)
    outputs = [whole(piece) for piece in pieces]  # the same draws as the cached run's first pass
    loss = contrast({name: torch.cat([one[name] for one in outputs]) for name in outputs[0]})
    loss.backward()
    torch.manual_seed(5)
    same = grad_cache(lambda chunk: cached(pieces[chunk]), chunks=chunks, loss=lambda out: contrast(out, tile=tile))

    torch.testing.assert_close(same, loss.detach())
    torch.testing.assert_close(gradients(cached), gradients(whole))


def test_without_replay_of_random_numbers_the_gradients_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the test above."""
    rows = torch.randn(8, 6, generator=torch.Generator().manual_seed(1)).double().split(4)
    found = []
    for replay in (True, False):
        if not replay:
            monkeypatch.setattr("vljepa.objectives.cached._restore", lambda state: None)
        model = Tower().double()
        torch.manual_seed(5)
        grad_cache(lambda chunk, model=model: model(rows[chunk]), chunks=2, loss=contrast)
        found.append(gradients(model))
    assert F.cosine_similarity(*found, dim=0) < 0.9999


def test_plain_accumulation_is_another_loss() -> None:
    """PITFALLS 6: samples of one chunk see only each other as negatives."""
    model, rows = Tower().double().eval(), torch.randn(32, 6, generator=torch.Generator().manual_seed(1)).double()
    contrast(model(rows)).backward()
    exact = gradients(model).clone()
    model.zero_grad()
    for piece in rows.split(4):
        (contrast(model(piece)) / 8).backward()
    assert F.cosine_similarity(gradients(model), exact, dim=0) < 0.99
    model.zero_grad()
    grad_cache(lambda chunk: model(rows.split(4)[chunk]), chunks=8, loss=contrast)
    torch.testing.assert_close(gradients(model), exact)


def test_grad_cache_carries_gradients_through_checkpointing_and_autocast() -> None:
    from torch.utils.checkpoint import checkpoint

    model, pieces = Tower(), torch.randn(12, 6, generator=torch.Generator().manual_seed(1)).split(4)

    def embed(chunk: int) -> dict[str, torch.Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs: dict[str, torch.Tensor] = checkpoint(model, pieces[chunk], use_reentrant=False)
        return {name: value.float() for name, value in outputs.items()}

    torch.manual_seed(3)
    outputs = [embed(chunk) for chunk in range(3)]
    contrast({name: torch.cat([one[name] for one in outputs]) for name in outputs[0]}).backward()
    exact = gradients(model).clone()
    model.zero_grad()
    torch.manual_seed(3)
    grad_cache(embed, chunks=3, loss=contrast)
    assert F.cosine_similarity(gradients(model), exact, dim=0) > 0.9999
