"""Regularisers that keep a space from collapsing without negatives.

Shapes: B samples of the batch, D width of the shared space, K random directions, T knots of an integral.
"""

from __future__ import annotations

import torch
from torch import Tensor

_KNOTS = 17
_LIMIT = 5.0


def sigreg(embedding_BD: Tensor, *, seed: int, directions: int = 256) -> Tensor:
    r"""Sketched isotropic Gaussian regularisation (LeJEPA, arXiv 2511.08544).

    Embeddings of unit norm, stretched by sqrt(D), are spread evenly when each of their one-dimensional projections is
    about a standard normal distribution. That is measured by the statistic of Epps and Pulley: the weighted distance
    of characteristic functions

        B * integral over t of |mean_i exp(i t x_i) - exp(-t^2 / 2)|^2 exp(-t^2 / 2) dt,

    by the trapezoid rule over [-5, 5], mean over random directions. The cost is linear in B, D and the directions.

    Args:
        embedding_BD: Embeddings, unit norm.
        seed: Of the directions; another one per step, equal on all ranks.
        directions: K.

    Returns:
        The statistic: about 1.8 for samples of the normal distribution, up to about 1.4 B for collapsed embeddings;
        a scalar in float32 or float64.

    Example:
        >>> spread = torch.nn.functional.normalize(torch.randn(512, 64), dim=-1)
        >>> bool(sigreg(spread, seed=0) < sigreg(spread[:1].expand(512, -1), seed=0) / 50)
        True
    """
    with torch.autocast(device_type=embedding_BD.device.type, enabled=False):
        dtype = torch.promote_types(embedding_BD.dtype, torch.float32)
        count, width = embedding_BD.shape
        generator = torch.Generator().manual_seed(seed)
        directions_DK = torch.randn(width, directions, generator=generator, dtype=dtype)
        directions_DK = (directions_DK / directions_DK.norm(dim=0)).to(embedding_BD.device)
        samples_BK = (embedding_BD.to(dtype) * width**0.5) @ directions_DK
        knots_T = torch.linspace(-_LIMIT, _LIMIT, _KNOTS, dtype=dtype, device=embedding_BD.device)
        normal_T = torch.exp(-(knots_T**2) / 2)
        angles_TBK = knots_T[:, None, None] * samples_BK
        real_TK, imaginary_TK = angles_TBK.cos().mean(dim=1), angles_TBK.sin().mean(dim=1)
        distance_TK = (real_TK - normal_T[:, None]).square() + imaginary_TK.square()
        return count * torch.trapezoid(distance_TK * normal_T[:, None], knots_T, dim=0).mean()


def variance_hinge(embedding_BD: Tensor) -> Tensor:
    """How far the channels' standard deviations are below 1, on average (VICReg, arXiv 2105.04906).

    Example:
        >>> float(variance_hinge(torch.zeros(8, 4)))  # collapsed
        0.99
    """
    std_D = (embedding_BD.float().var(dim=0) + 1e-4).sqrt()
    return torch.relu(1 - std_D).mean()


def covariance(embedding_BD: Tensor) -> Tensor:
    """Mean square of the covariances of different channels (VICReg, arXiv 2105.04906).

    Example:
        >>> same = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
        >>> float(covariance(same))
        4.0
    """
    count, width = embedding_BD.shape
    centred_BD = embedding_BD.float() - embedding_BD.float().mean(dim=0)
    covariance_DD = centred_BD.T @ centred_BD / (count - 1)
    return (covariance_DD.square().sum() - covariance_DD.diagonal().square().sum()) / (width * (width - 1))
