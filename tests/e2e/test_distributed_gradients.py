"""PITFALLS 5, 6 and 28: on 2 and 4 real processes gradients of parameters are those of one with the whole batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.launching import free_port
from vljepa.configs import EBJEPAConfig, LLMJEPAConfig, RunConfig, VJEPAConfig
from vljepa.methods.eb_jepa import EBJepaMethod
from vljepa.methods.llm_jepa import LLMJepaMethod
from vljepa.methods.v_jepa import VJepaMethod
from vljepa.models.language.llm_jepa import LLMJEPA
from vljepa.models.language.packing import Pair, pack
from vljepa.models.layers.sharded import whole
from vljepa.models.types import Batch
from vljepa.models.video.masks import draw_roles
from vljepa.models.video.v_jepa import VJEPA
from vljepa.models.video.vector_world import VectorWorld
from vljepa.objectives import Positives, gather_with_gradient, grad_cache, infonce

ROWS, WIDTH = 26, 6
NOWHERE = {"name": "clips", "path": "nowhere"}
V_JEPA: dict[str, Any] = {
    "frames": 2,
    "image": {
        "size": [16, 16], "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "squash", "interpolation": "bilinear",
    },
    "encoder": {"width": 12, "depth": 1, "heads": 2, "patch": 4, "tubelet": 2},
    "predictor": {"width": 8, "depth": 1, "heads": 1},
    "target": {"name": "regularised", "weight": 0.1, "tokens": 4},
}  # fmt: skip
CASES = {  # tile, chunks, shares, sharded; "uneven" is a step of which some processes could not read most images
    "dense": (None, 1, "even", False),
    "dense, uneven": (None, 1, "uneven", False),
    "tiled": (5, 1, "even", False),
    "tiled, uneven": (5, 1, "uneven", False),
    "cached": (None, 3, "even", False),
    "cached, tiled, uneven": (5, 3, "uneven", False),
    "sharded": (None, 1, "even", True),
    "sharded, cached, uneven": (None, 3, "uneven", True),
}


class Tower(nn.Module):
    """Heads without dropout, and a temperature of shape (1,)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(WIDTH, 4), nn.Linear(WIDTH, 4)
        self.log_scale = nn.Parameter(torch.ones(1))

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        prediction, target = F.normalize(self.one(rows), dim=-1), F.normalize(self.two(rows), dim=-1)
        return {"prediction": prediction, "target": target, "scale": self.log_scale.exp()}


def data() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows, and ids by which samples of different ranks belong together."""
    rows = torch.randn(ROWS, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return rows, torch.arange(ROWS) % 19, torch.arange(ROWS) % 23


def contrast(
    outputs: dict[str, torch.Tensor], pairs: torch.Tensor, texts: torch.Tensor, *, tile: int | None, gather: bool
) -> torch.Tensor:
    def everywhere(rows: torch.Tensor) -> torch.Tensor:
        return gather_with_gradient(rows) if gather else rows

    return infonce(
        everywhere(outputs["prediction"]),
        everywhere(outputs["target"]),
        logit_scale=outputs["scale"].mean().view(1),
        positives=Positives(everywhere(pairs), everywhere(texts)),
        tile=tile,
    )


def flat(model: nn.Module) -> torch.Tensor:
    gradients = [whole(parameter.grad) for parameter in model.parameters() if parameter.grad is not None]
    return torch.cat([gradient.flatten() for gradient in gradients])


def share(rows: torch.Tensor, how: str) -> torch.Tensor:
    """This process's rows: 26 are 7, 7, 6 and 6 of four processes; or all but one or two of them have a single row."""
    world, rank = dist.get_world_size(), dist.get_rank()
    sizes = [len(part) for part in rows.tensor_split(world)]
    if how == "uneven":
        sizes = [1] * (world - 2) + [ROWS - 1 - (world - 2), 1]
    return rows.split(sizes)[rank]


def blind(rows: torch.Tensor) -> torch.Tensor:
    """A gather without gradient to what other ranks' losses see, as `accelerator.gather` does it."""
    everywhere = gather_with_gradient(rows.detach())
    own = share(torch.arange(ROWS), "even")
    return torch.cat([everywhere[: own[0]], rows, everywhere[own[-1] + 1 :]])


def gradients(case: str) -> torch.Tensor:
    tile, chunks, how, sharded = CASES[case]
    rows, pairs, texts = (share(one, how) for one in data())
    model: Any = fully_shard(Tower().double()) if sharded else DistributedDataParallel(Tower().double())
    if chunks == 1:
        contrast(model(rows), pairs, texts, tile=tile, gather=True).backward()
    else:
        pieces = rows.tensor_split(chunks)  # of a single row two are empty
        grad_cache(
            lambda chunk: model(pieces[chunk]),
            chunks=chunks,
            loss=lambda outputs: contrast(outputs, pairs, texts, tile=tile, gather=True),
            no_sync=partial(unsynchronised, model) if sharded else model.no_sync,
        )
    return flat(model)


@contextmanager
def unsynchronised(model: Any) -> Iterator[None]:
    """What Accelerate's `no_sync` does with FSDP2."""
    model.set_requires_gradient_sync(False)
    yield
    model.set_requires_gradient_sync(True)


def refusal_of_a_scalar() -> str:
    """PITFALLS 28: what FSDP2 says to a temperature without a dimension."""
    model = Tower()
    model.log_scale = nn.Parameter(torch.ones(()))
    try:
        fully_shard(model)
    except ValueError as error:
        return str(error)
    return ""


def masked_gradients(*, gather: bool) -> torch.Tensor:
    """Of a V-JEPA with SIGReg, whose loss needs the clips of all processes; in one process of all of them."""
    config = VJEPAConfig.model_validate(V_JEPA)
    torch.manual_seed(0)
    model = VJEPA(config)
    pixels = torch.randn(ROWS, 2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    roles = draw_roles(config.masks, grid=config.grid, clips=ROWS, seed=[0])
    method = VJepaMethod(RunConfig.model_validate({"method": "v_jepa", "model": V_JEPA, "data": {"train": [NOWHERE]}}))
    method.model = model
    called: Any = DistributedDataParallel(model, find_unused_parameters=True) if gather else model
    batch = Batch(pixels_BTCHW=pixels, roles_BKN=roles)
    if gather:
        batch = batch.choose(share(torch.arange(ROWS), "uneven"))
    method.loss(called(batch), [batch], step=3).backward()
    return flat(model)


def world_gradients(*, gather: bool) -> torch.Tensor:
    """Of an EB-JEPA, whose variances and covariances are those of all processes' latents."""
    config = EBJEPAConfig(side=16, channels=(4, 4, 4), keypoints=4, width=8, hidden=8, action_width=2, rollout=2)
    torch.manual_seed(0)
    model, draw = VectorWorld(config), torch.Generator().manual_seed(2)
    pixels = torch.randn(ROWS, 3, 3, 16, 16, generator=draw)
    batch = Batch(pixels_BTCHW=pixels, actions_BTA=torch.randn(ROWS, 2, 2, generator=draw))
    raw = {"method": "eb_jepa", "model": config.model_dump(), "data": {"train": [NOWHERE]}}
    method = EBJepaMethod(RunConfig.model_validate(raw))
    called: Any = DistributedDataParallel(model) if gather else model
    if gather:
        batch = batch.choose(share(torch.arange(ROWS), "uneven"))
    method.loss(called(batch), [batch], step=3).backward()
    return flat(model)


def language_gradients(*, gather: bool) -> torch.Tensor:
    """Of an LLM-JEPA: next tokens are averaged over the tokens of all processes, InfoNCE is over all pairs."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    raw = {"start": "none", "objective": "infonce", "straightness": 0.5}
    model = LLMJEPA(LLMJEPAConfig.model_validate(raw), LlamaForCausalLM(LlamaConfig(vocab_size=40, **sizes)))
    pairs = [Pair(range(3, 6 + number % 7), range(20, 22 + number % 11)) for number in range(ROWS)]
    batch = Batch(packed=pack(pairs, end=0, padding=0, predictors=[1], views=True))
    method = LLMJepaMethod(RunConfig.model_validate({"method": "llm_jepa", "model": raw, "data": {"train": [NOWHERE]}}))
    called: Any = DistributedDataParallel(model, find_unused_parameters=True) if gather else model
    if gather:
        batch = batch.choose(share(torch.arange(ROWS), "uneven"))
    method.loss(called(batch), [batch], step=3).backward()
    return flat(model)


def work(rank: int, world: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    found: dict[str, Any] = {case: gradients(case) for case in CASES}
    found["scalar"] = refusal_of_a_scalar()
    found["v_jepa"] = masked_gradients(gather=True)
    found["eb_jepa"] = world_gradients(gather=True)
    found["llm_jepa"] = language_gradients(gather=True)
    rows, pairs, texts = (share(one, "even") for one in data())
    model = DistributedDataParallel(Tower().double())
    outputs = model(rows)
    prediction, target = blind(outputs["prediction"]), blind(outputs["target"])
    ids = Positives(gather_with_gradient(pairs), gather_with_gradient(texts))
    infonce(prediction, target, logit_scale=outputs["scale"], positives=ids).backward()
    found["gather without gradient"] = flat(model)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("world", [2, 4])
def test_gradients_of_many_processes_are_those_of_one(world: int, tmp_path: Path) -> None:
    mp.spawn(work, args=(world, free_port(), str(tmp_path)), nprocs=world)
    model, (rows, pairs, texts) = Tower().double(), data()
    contrast(model(rows), pairs, texts, tile=None, gather=False).backward()
    exact, masked, world_alone = flat(model), masked_gradients(gather=False), world_gradients(gather=False)
    language_alone = language_gradients(gather=False)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(found.pop("v_jepa"), masked, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.pop("eb_jepa"), world_alone, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.pop("llm_jepa"), language_alone, atol=1e-5, rtol=1e-4)
        wrong = found.pop("gather without gradient")
        assert "doesn't support scalar parameters" in found.pop("scalar")
        assert found.keys() == CASES.keys()
        for name, gradient in found.items():
            assert F.cosine_similarity(gradient, exact, dim=0) > 0.999999, name
            assert float(gradient.norm()) == pytest.approx(float(exact.norm()), rel=1e-5), name
        # The control: the usual mistake is far off.
        assert wrong.norm() < 0.8 * exact.norm()
