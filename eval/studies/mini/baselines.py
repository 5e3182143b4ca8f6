"""The fitted baselines: maps from pooled visual features to the Y-Encoder's own space, ConSE, and its ridge regression.

They see what the model sees (the same images and texts, the same frozen encoders); the maps are trained with its
loss. ConSE and the ridge learn nothing from images (Norouzi et al., arXiv 1312.5650).
Shapes: N images, V stored views, Dv width of a visual feature, M texts, K labels of the X-Encoder's classifier, E
width of the Y-Encoder.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.objectives import Positives, infonce

HIDDEN = 1024
TOP_K, PSEUDO_TOP_K = 10, 50


@dataclass(frozen=True)
class TrainSet:
    """One source of pairs: features of every view, texts' unit-norm embeddings by image, and equal texts' ids."""

    features_NVD: Tensor
    targets_ME: Tensor
    counts_N: Tensor
    text_ids_M: Tensor
    weight: float

    @classmethod
    def of(
        cls, features_NVD: Tensor, texts: Sequence[Sequence[str]], targets_ME: Tensor, *, weight: float = 1.0
    ) -> TrainSet:
        """From the texts by image; `targets_ME` has them in the same order."""
        flat = [text.lower().encode() for group in texts for text in group]
        assert len(flat) == len(targets_ME), (len(flat), len(targets_ME))
        ids = [int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "little") for text in flat]
        counts = torch.tensor([len(group) for group in texts])
        return cls(features_NVD, targets_ME, counts, torch.tensor(ids), weight)

    def draw(self, count: int, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, targets, image numbers and text ids of `count` images, each under one view and one text."""
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
    """How a map is trained: AdamW, warm-up then cosine; the best validated state is kept.

    Args:
        hidden: Width of the MLP's hidden layer; 0 for a linear map.
        lr: Peak learning rate.
        weight_decay: On matrices.
        dropout: On the input and on the hidden layer.
        steps: Optimizer steps.
        batch_size: Pairs per step, every one a negative of the others.
        eval_every: Steps between validations.
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
    """Standardises features, as `features_ND` are spread, and maps them to the text space [N, width], unit norm."""

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
    """Train with the symmetric multi-positive InfoNCE of the model, on the sources mixed by weight.

    Returns:
        The head in its best validated state by `score`, or the last without one, in eval mode, and its score.
    """
    random, steps = torch.Generator().manual_seed(config.seed), config.steps
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        everything = torch.cat([source.features_NVD.flatten(0, 1) for source in sources])
        head = Head(everything, width=sources[0].targets_ME.shape[1], config=config)
        groups = [
            {"params": [one for one in head.parameters() if one.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [one for one in head.parameters() if one.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))
        best, best_score = copy.deepcopy(head.state_dict()), -math.inf
        for step in range(steps):
            warm_up = min(1.0, (step + 1) / max(1, steps // 20))
            for group in optimizer.param_groups:
                group["lr"] = config.lr * warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            head.train()
            optimizer.zero_grad()
            _loss(head, sources, config.batch_size, random).backward()
            optimizer.step()
            if score is not None and ((step + 1) % config.eval_every == 0 or step + 1 == steps):
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


def conse(logits_NK: Tensor, labels_KE: Tensor, *, temperature: float = 1.0, top_k: int = TOP_K) -> Tensor:
    """The probable labels' embeddings, weighted and renormalised over the best `top_k`: [N, E], not unit norm."""
    top, index = (logits_NK / temperature).softmax(-1).topk(min(top_k, logits_NK.shape[1]), dim=-1)
    weights = top / top.sum(-1, keepdim=True)
    # As one product: gathering 50 embeddings for each of 24,000 captions would take 2 GB.
    return torch.zeros_like(logits_NK).scatter(-1, index, weights) @ labels_KE[: logits_NK.shape[1]]


class Ridge(NamedTuple):
    """Affine map fitted in closed form: centre, multiply from the right, and move to the outputs' mean."""

    weight_EE: Tensor
    mean_in_E: Tensor
    mean_out_E: Tensor

    def __call__(self, rows_NE: Tensor) -> Tensor:
        """Map rows, [N, E]."""
        return (rows_NE - self.mean_in_E) @ self.weight_EE + self.mean_out_E


def fit_ridge(inputs_NE: Tensor, outputs_NE: Tensor, *, penalty: float) -> Ridge:
    """Least squares with `penalty` times the mean variance of the inputs on the diagonal."""
    mean_in_E, mean_out_E = inputs_NE.mean(0), outputs_NE.mean(0)
    centred_NE = (inputs_NE - mean_in_E).double()
    covariance_EE = centred_NE.T @ centred_NE / len(inputs_NE)
    cross_EE = centred_NE.T @ (outputs_NE - mean_out_E).double() / len(inputs_NE)
    ridge_EE = covariance_EE + penalty * covariance_EE.diagonal().mean() * torch.eye(len(covariance_EE)).double()
    return Ridge(torch.linalg.solve(ridge_EE, cross_EE).float(), mean_in_E, mean_out_E)


class CaptionPairs(NamedTuple):
    """Captions: their cosines to each label, and the unit-norm mean embedding of the image's other captions."""

    cosines_NK: Tensor
    others_NE: Tensor

    @classmethod
    def of(cls, groups: Sequence[Sequence[str]], embedded_NE: Tensor, labels_KE: Tensor) -> CaptionPairs:
        """From the captions by image and their embeddings, in the order of the groups."""
        sizes = torch.tensor([len(group) for group in groups])
        owner_N = torch.arange(len(groups)).repeat_interleave(sizes)
        sums = torch.zeros(len(groups), embedded_NE.shape[1]).index_add_(0, owner_N, embedded_NE)
        others = F.normalize(sums[owner_N] - embedded_NE, dim=-1)
        return cls(embedded_NE @ F.normalize(labels_KE, dim=-1).T, others)

    def ridge(self, labels_KE: Tensor, *, sharpness: float, penalty: float) -> Ridge:
        """Ridge from a caption's pseudo label distribution, softmax(cosine / sharpness), to the other captions."""
        pseudo_NE = conse(self.cosines_NK, labels_KE, temperature=sharpness, top_k=PSEUDO_TOP_K)
        return fit_ridge(pseudo_NE, self.others_NE, penalty=penalty)
