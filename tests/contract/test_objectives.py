"""Every loss and every term that is registered keeps what training takes for granted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vljepa import Trainer
from vljepa.configs import RunConfig
from vljepa.objectives import OBJECTIVES, TERMS, Gathered, Positives
from vljepa.training.tracking import read_log

B, D, A = 6, 8, 4
LOSSES = {**OBJECTIVES, **{name: term for name, (_, term) in TERMS.items()}}


def group_of(order: Tensor) -> Gathered:
    """Six samples in some order; two of them are of one image and question."""
    draw = torch.Generator().manual_seed(0)
    rows = {name: F.normalize(torch.randn(B, D, generator=draw), dim=-1) for name in
            ("prediction", "target", "image", "start")}  # fmt: skip
    rows["answer_logits"] = torch.randn(B, A, generator=draw)
    rows = {name: one[order].requires_grad_() for name, one in rows.items()}
    rows["answer_ids"] = torch.tensor([0, 1, 2, 3, 0, 1])[order]
    ids = torch.tensor([0, 0, 1, 2, 3, 4])[order]
    positives = Positives(ids, torch.arange(B)[order])
    return Gathered(rows=rows, scale=torch.tensor([9.0]), bias=torch.tensor([-3.0]), positives=positives)


@pytest.mark.parametrize("name", LOSSES)
def test_it_is_as_exact_under_autocast_and_reaches_what_is_predicted(name: str) -> None:
    """Rows come in float32; a product of them in bf16 would round the logits."""
    group = group_of(torch.arange(B))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name](group)
    assert (loss.dtype, loss.shape) == (torch.float32, ())
    assert float(loss.detach()) == pytest.approx(float(LOSSES[name](group).detach()), rel=1e-6)
    loss.backward()
    reached = {row for row, one in group.rows.items() if one.grad is not None and one.grad.any()}
    assert reached & {"prediction", "image", "answer_logits"}


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_samples_does_not_count(name: str) -> None:
    """Processes put their shares one after the other, whichever there are."""
    plain = LOSSES[name](group_of(torch.arange(B)))
    other = LOSSES[name](group_of(torch.tensor([3, 1, 5, 0, 4, 2])))
    assert float(other.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_recipe_trains_by_its_name_and_grad_cache_is_the_whole_batch(
    name: str, make_run: Callable[..., RunConfig]
) -> None:
    losses = []
    for cached in (None, 5):
        changes = {"objective": {"name": name, "grad_cache": cached}, "data": {"validation": []}}
        run = make_run(
            train={"steps": 2, "precision": "fp32", "output": f"{make_run().train.output}-{cached}"}, **changes
        )
        Trainer(run, device="cpu").fit()
        losses.append([line["loss"] for line in read_log(Path(run.train.output)) if line["kind"] == "train"])
    assert len(losses[0]) == 2
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
