"""PITFALLS 5 and 28: on 2 and 4 real processes parameter gradients are those of one process with the whole batch."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vljepa.objectives import Positives, gather_with_gradient, grad_cache, infonce

ROWS, WIDTH = 26, 6  # 26 is uneven on 4 ranks: 7, 7, 6, 6


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
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def blind(rows: torch.Tensor) -> torch.Tensor:
    """A gather without gradient to what other ranks' losses see, as `accelerator.gather` does it."""
    whole = gather_with_gradient(rows.detach())
    own = torch.arange(ROWS).tensor_split(dist.get_world_size())[dist.get_rank()]
    return torch.cat([whole[: own[0]], rows, whole[own[-1] + 1 :]])


def work(rank: int, world: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world)
    rows, pairs, texts = (one.tensor_split(world)[rank] for one in data())
    found = {}
    for name, tile, chunks in (("dense", None, 1), ("tiled", 5, 1), ("cached", None, 3), ("cached, tiled", 5, 2)):
        model = DistributedDataParallel(Tower().double())
        if chunks == 1:
            contrast(model(rows), pairs, texts, tile=tile, gather=True).backward()
        else:
            pieces = rows.tensor_split(chunks)
            grad_cache(
                lambda chunk, model=model, pieces=pieces: model(pieces[chunk]),
                chunks=chunks,
                loss=lambda out, tile=tile: contrast(out, pairs, texts, tile=tile, gather=True),
                no_sync=model.no_sync,
            )
        found[name] = flat(model)
    model = DistributedDataParallel(Tower().double())
    outputs = model(rows)
    prediction, target = blind(outputs["prediction"]), blind(outputs["target"])
    ids = Positives(gather_with_gradient(pairs), gather_with_gradient(texts))
    infonce(prediction, target, logit_scale=outputs["scale"], positives=ids).backward()
    found["gather without gradient"] = flat(model)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("world", [2, 4])
def test_gradients_of_many_processes_are_those_of_one(world: int, tmp_path: Path) -> None:
    mp.spawn(work, args=(world, free_port(), str(tmp_path)), nprocs=world)
    model, (rows, pairs, texts) = Tower().double(), data()
    contrast(model(rows), pairs, texts, tile=None, gather=False).backward()
    exact = flat(model)
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt")
        wrong = found.pop("gather without gradient")
        for name, gradient in found.items():
            assert F.cosine_similarity(gradient, exact, dim=0) > 0.999999, name
            assert float(gradient.norm()) == pytest.approx(float(exact.norm()), rel=1e-5), name
        # The control: the usual mistake is far off.
        assert wrong.norm() < 0.8 * exact.norm()
