"""Solvers: the actions of least energy, over a horizon, for many plans at once.

Shapes: B plans, N samples of each, T steps of the horizon, A numbers of an action.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vljepa.errors import ConfigError
from vljepa.planning.bounds import Bounds

Energy = Callable[[Tensor], Tensor]
"""From actions [B, N, T, A] to how far from the goals they lead, [B, N]."""


class Solver(ABC):
    """Finds actions of low energy."""

    bounds: Bounds
    std: float

    @abstractmethod
    def refine(self, energy: Energy, mean_BTA: Tensor, *, draw: torch.Generator) -> Tensor:
        """Better actions [B, T, A] than the ones given."""

    def solve(self, energy: Energy, *, start_BTA: Tensor, seed: int) -> Tensor:
        """The actions found, [B, T, A], within the bounds.

        Args:
            energy: Of actions.
            start_BTA: What the search begins with: zeros, or the rest of an earlier plan (a warm start).
            seed: Of the samples.
        """
        draw = torch.Generator(device=start_BTA.device).manual_seed(seed)
        return self.bounds(self.refine(energy, start_BTA.clone(), draw=draw))


def _samples(mean_BTA: Tensor, std: Tensor | float, count: int, *, draw: torch.Generator) -> Tensor:
    """Normal samples around a mean, [B, N, T, A]; the first is the mean itself."""
    plans, steps, width = mean_BTA.shape
    noise = torch.randn(plans, count, steps, width, generator=draw, device=mean_BTA.device, dtype=mean_BTA.dtype)
    noise[:, 0] = 0
    return mean_BTA[:, None] + noise * (std[:, None] if isinstance(std, Tensor) else std)


@dataclass(frozen=True, kw_only=True)
class CEM(Solver):
    """Cross-entropy method: a normal distribution is moved onto the best of its own samples, again and again.

    The defaults are V-JEPA 2-AC's (arXiv 2506.09985, section 4.2): 800 samples, 10 rounds, 10 elites.

    Args:
        bounds: Of the actions.
        std: Of the first samples, in the action's units.
        samples: N.
        rounds: Of sampling.
        elites: How many samples make the next distribution.
        keep_mean: Share of the old mean in the new one (V-JEPA 2-AC's notebook: 0.15).
        keep_std: The same of the standard deviation.
    """

    bounds: Bounds
    std: float
    samples: int = 800
    rounds: int = 10
    elites: int = 10
    keep_mean: float = 0.0
    keep_std: float = 0.0

    def __post_init__(self) -> None:
        if not 1 < self.elites <= self.samples:
            raise ConfigError(
                f"{self.elites} elites of {self.samples} samples.",
                fix="ask for 2 at least, and for no more than all.",
            )

    @torch.no_grad()
    def refine(self, energy: Energy, mean_BTA: Tensor, *, draw: torch.Generator) -> Tensor:
        """See `Solver`."""
        std_BTA = torch.full_like(mean_BTA, self.std)
        for _ in range(self.rounds):
            tried_BNTA = self.bounds(_samples(mean_BTA, std_BTA, self.samples, draw=draw))
            best_BE = energy(tried_BNTA).topk(self.elites, dim=1, largest=False).indices
            elites_BETA = tried_BNTA.gather(1, best_BE[:, :, None, None].expand(-1, -1, *mean_BTA.shape[1:]))
            mean_BTA = self.keep_mean * mean_BTA + (1 - self.keep_mean) * elites_BETA.mean(1)
            std_BTA = self.keep_std * std_BTA + (1 - self.keep_std) * elites_BETA.std(1)
        return mean_BTA


@dataclass(frozen=True, kw_only=True)
class MPPI(Solver):
    """Model predictive path integral control: samples around a mean, averaged by how low their energy is.

    A sample's weight is exp(-(energy - the least) / temperature), normalised (arXiv 1707.02342).

    Args:
        bounds: Of the actions.
        std: Of the samples, in the action's units.
        samples: N.
        rounds: Of sampling; the mean of one is where the next one begins.
        temperature: In units of the spread of the best tenth of the energies, so that it means the same for any energy.
        decay: What `std` is multiplied by from round to round.
    """

    bounds: Bounds
    std: float
    samples: int = 256
    rounds: int = 6
    temperature: float = 0.5
    decay: float = 0.8

    def __post_init__(self) -> None:
        if self.samples < 2 or self.temperature <= 0:
            raise ConfigError(
                f"{self.samples} samples at a temperature of {self.temperature}.", fix="give 2 at least, and above 0."
            )

    @torch.no_grad()
    def refine(self, energy: Energy, mean_BTA: Tensor, *, draw: torch.Generator) -> Tensor:
        """See `Solver`."""
        for number in range(self.rounds):
            tried_BNTA = self.bounds(_samples(mean_BTA, self.std * self.decay**number, self.samples, draw=draw))
            energy_BN = energy(tried_BNTA)
            least_BE = energy_BN.topk(max(2, self.samples // 10), dim=1, largest=False).values
            spread_B1 = (least_BE[:, -1:] - least_BE[:, :1]).clamp_min(1e-12)
            weights_BN = torch.softmax(-(energy_BN - least_BE[:, :1]) / (self.temperature * spread_B1), dim=1)
            mean_BTA = (weights_BN[:, :, None, None] * tried_BNTA).sum(1)
        return mean_BTA


@dataclass(frozen=True, kw_only=True)
class Gradient(Solver):
    """Descends the energy's gradient by the actions, from several starts, and takes the best.

    Args:
        bounds: Of the actions.
        std: Of the starts around the given one.
        samples: Starts.
        rounds: Steps of Adam.
        lr: Its learning rate, in the action's units.
    """

    bounds: Bounds
    std: float
    samples: int = 8
    rounds: int = 60
    lr: float = 0.1

    def refine(self, energy: Energy, mean_BTA: Tensor, *, draw: torch.Generator) -> Tensor:
        """See `Solver`."""
        tried_BNTA = self.bounds(_samples(mean_BTA, self.std, self.samples, draw=draw)).requires_grad_()
        adam = torch.optim.Adam([tried_BNTA], lr=self.lr)
        for _ in range(self.rounds):
            with torch.enable_grad():  # by the actions alone: the model's own gradients are left as they are
                [tried_BNTA.grad] = torch.autograd.grad(energy(tried_BNTA).sum(), [tried_BNTA])
            adam.step()
            with torch.no_grad():
                tried_BNTA.copy_(self.bounds(tried_BNTA))
        with torch.no_grad():
            best_B = energy(tried_BNTA).argmin(1)
        return tried_BNTA.detach()[torch.arange(len(best_B), device=best_B.device), best_B]
