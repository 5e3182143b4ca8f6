"""The trained baselines: a linear map or an MLP from pooled visual features to the frozen Y-Encoder's own space.

They see what the model sees (the same pictures and texts, the same frozen encoders) and are trained with its loss.
Shapes: N pictures, V stored views, Dv width of a visual feature, M texts, E width of the Y-Encoder.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.objectives import Positives, infonce

HIDDEN = 1024


@dataclass(frozen=True)
class TrainSet:
    """One source of pairs.

    Args:
        features_NVD: Pooled features of every view.
        targets_ME: Embeddings of all texts, unit norm, picture by picture.
        counts_N: Texts of every picture.
        text_ids_M: Equal exactly for equal texts.
        weight: Share of each batch.
    """

    features_NVD: Tensor
    targets_ME: Tensor
    counts_N: Tensor
    text_ids_M: Tensor
    weight: float

    @classmethod
    def of(
        cls, features_NVD: Tensor, texts: Sequence[Sequence[str]], targets_ME: Tensor, *, weight: float = 1.0
    ) -> TrainSet:
        """From the texts by picture; `targets_ME` has them in the same order."""
        flat = [text for group in texts for text in group]
        assert len(flat) == len(targets_ME), (len(flat), len(targets_ME))
        counts = torch.tensor([len(group) for group in texts])
        return cls(features_NVD, targets_ME, counts, torch.tensor([_identity(text) for text in flat]), weight)

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, targets, picture numbers and text ids of `count` pictures, each under one view and one text."""
        total, views = self.features_NVD.shape[:2]
        if count <= total:
            rows = torch.randperm(total, generator=random)[:count]
        else:
            rows = torch.randint(total, (count,), generator=random)
        view = torch.randint(views, (count,), generator=random)
        starts_N = self.counts_N.cumsum(0) - self.counts_N
        text = starts_N[rows] + (torch.rand(count, generator=random) * self.counts_N[rows]).long()
        return self.features_NVD[rows, view], self.targets_ME[text], rows, self.text_ids_M[text]


@dataclass(frozen=True)
class HeadConfig:
    """How a baseline is trained.

    Args:
        hidden: Width of the MLP's hidden layer; 0 for a linear map.
        lr: Peak learning rate of AdamW, warm-up then cosine.
        weight_decay: On matrices.
        dropout: On the input and on the hidden layer.
        steps: Optimizer steps.
        batch_size: Pairs per step, every one a negative of the others.
        eval_every: Steps between validations; the best validated state is kept.
        seed: Of initialisation and order.
    """

    hidden: int = 0
    lr: float = 1e-3
    weight_decay: float = 0.05
    dropout: float = 0.1
    steps: int = 600
    batch_size: int = 256
    eval_every: int = 100
    seed: int = 0


class Head(nn.Module):
    """Standardises features and maps them to the text space, unit norm.

    Args:
        features_ND: Features whose mean and spread standardise the input.
        width: E.
        config: Shape and dropout.
    """

    mean_D: Tensor
    spread_D: Tensor

    def __init__(self, features_ND: Tensor, *, width: int, config: HeadConfig) -> None:
        super().__init__()
        self.register_buffer("mean_D", features_ND.mean(0))
        self.register_buffer("spread_D", features_ND.std(0).clamp_min(1e-4))
        inner = features_ND.shape[1]
        layers: list[nn.Module] = [nn.Dropout(config.dropout)]
        if config.hidden:
            layers += [nn.Linear(inner, config.hidden), nn.GELU(), nn.Dropout(config.dropout)]
            inner = config.hidden
        self.layers = nn.Sequential(*layers, nn.Linear(inner, width))
        self.log_scale = nn.Parameter(torch.tensor([-math.log(0.07)]))

    def forward(self, features_ND: Tensor) -> Tensor:
        """Unit-norm predictions [N, E]."""
        return F.normalize(self.layers((features_ND - self.mean_D) / self.spread_D), dim=-1)

    def parameters_count(self) -> int:
        """Trained parameters, without the temperature."""
        return sum(parameter.numel() for parameter in self.layers.parameters())


def train_head(
    sources: Sequence[TrainSet], *, config: HeadConfig, score: Callable[[Head], float] | None = None
) -> tuple[Head, float]:
    """Train with the symmetric multi-positive InfoNCE of the model.

    Args:
        sources: What to train on, mixed by weight.
        config: How.
        score: Validation score, larger is better; None keeps the last state.

    Returns:
        The head in its best validated state, in eval mode, and its score.
    """
    random = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        everything = torch.cat([source.features_NVD.flatten(0, 1) for source in sources])
        head = Head(everything, width=sources[0].targets_ME.shape[1], config=config)
        optimizer = _optimizer(head, config)
        best, best_score = copy.deepcopy(head.state_dict()), -math.inf
        for step in range(config.steps):
            for group in optimizer.param_groups:
                group["lr"] = config.lr * _schedule(step, config.steps)
            head.train()
            loss = _loss(head, sources, config.batch_size, random)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if score is not None and ((step + 1) % config.eval_every == 0 or step + 1 == config.steps):
                reached = score(head.eval())
                if reached > best_score:
                    best, best_score = copy.deepcopy(head.state_dict()), reached
    if score is not None:
        head.load_state_dict(best)
    return head.eval(), best_score


def _loss(head: Head, sources: Sequence[TrainSet], batch_size: int, random: torch.Generator) -> Tensor:
    total = sum(source.weight for source in sources)
    drawn = []
    for number, source in enumerate(sources):
        count = max(2, round(batch_size * source.weight / total))
        features, targets, rows, text_ids = source.draw(count, random)
        drawn.append((features, targets, rows + number * 1_000_000, text_ids))
    features_BD, targets_BE, pair_ids_B, text_ids_B = (torch.cat(parts) for parts in zip(*drawn, strict=True))
    scale = head.log_scale.exp().clamp(max=100)
    return infonce(head(features_BD), targets_BE, logit_scale=scale, positives=Positives(pair_ids_B, text_ids_B))


def _optimizer(head: Head, config: HeadConfig) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in head.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in head.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))


def _schedule(step: int, steps: int) -> float:
    warm_up = max(1, steps // 20)
    return min(1.0, (step + 1) / warm_up) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _identity(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.lower().encode(), digest_size=7).digest(), "little")
