"""Policies: from what is seen of many worlds to what is done in each.

Shapes: B worlds, A numbers of an action.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.errors import ConfigError
from vljepa.planning.solvers import Energy, Solver

Observation = dict[str, NDArray[Any]]
Energies = Callable[[Observation, dict[str, Any]], Energy]
"""From what is seen and told of the worlds to the energy of actions in them."""


class Policy(ABC):
    """Acts in many worlds at once."""

    def reset(self, *, seed: int) -> None:  # noqa: B027, most have nothing to forget
        """Forget the episodes before; `seed` is of what is drawn in the next ones."""

    @abstractmethod
    def act(self, observation: Observation, info: dict[str, Any]) -> NDArray[np.float32]:
        """Actions, [B, A].

        Args:
            observation: `image` and `goal` of every world.
            info: What the worlds tell besides; a policy that reads it cheats, and says so.
        """


class RandomPolicy(Policy):
    """Actions from a normal distribution, whatever is seen.

    Args:
        std: Of each number.
        width: A.
    """

    def __init__(self, *, std: float, width: int = 2) -> None:
        self.std, self.width = std, width
        self.reset(seed=0)

    def reset(self, *, seed: int) -> None:
        """See `Policy`."""
        self._random = np.random.default_rng(seed)

    def act(self, observation: Observation, info: dict[str, Any]) -> NDArray[np.float32]:
        """See `Policy`."""
        return self._random.normal(0, self.std, (len(observation["image"]), self.width)).astype(np.float32)


class StraightLine(Policy):
    """Towards the goal's position, which it is told: what needs no planning and no seeing. It stops at walls."""

    def act(self, observation: Observation, info: dict[str, Any]) -> NDArray[np.float32]:
        """See `Policy`."""
        del observation
        ahead: NDArray[np.float32] = (info["goal_position"] - info["position"]).astype(np.float32)
        return ahead


class PlanningPolicy(Policy):
    """Plans in the space of latents, does the first actions of the plan, and plans again (receding horizon).

    Args:
        energies: From what is seen and told of the worlds to the energy of actions in them, such as an
            `ActionWorldEnergy`.
        solver: Finds the actions of least energy.
        horizon: Steps that are planned.
        execute: Steps that are done before the next plan.
        hold: Steps that an action is planned to last: the fewer numbers there are to find, the farther samples reach.
        width: A.
    """

    def __init__(
        self,
        energies: Energies,
        solver: Solver,
        *,
        horizon: int,
        execute: int = 1,
        hold: int = 1,
        width: int = 2,
    ) -> None:
        if not 1 <= execute <= horizon or horizon % hold or (execute % hold and hold % execute):
            raise ConfigError(
                f"horizon = {horizon}, execute = {execute}, hold = {hold}.",
                fix="let hold divide horizon, and one of hold and execute the other; execute is at most horizon.",
            )
        self.energies, self.solver = energies, solver
        self.horizon, self.execute, self.hold, self.width = horizon, execute, hold, width
        self.reset(seed=0)

    def reset(self, *, seed: int) -> None:
        """See `Policy`."""
        self._seed, self._done, self.plan_BTA = seed, 0, None

    plan_BTA: Tensor | None = None
    """The plan that is being followed, an action for every step; its first `execute` are done."""

    def act(self, observation: Observation, info: dict[str, Any]) -> NDArray[np.float32]:
        """See `Policy`."""
        place = self._done % self.execute
        if place == 0:
            self.plan_BTA = self._plan(observation, info)
        self._done += 1
        assert self.plan_BTA is not None
        action: NDArray[np.float32] = self.plan_BTA[:, place].cpu().numpy()
        return action

    def _plan(self, observation: Observation, info: dict[str, Any]) -> Tensor:
        """From zeros, or from what is left of the last plan; nothing is planned for worlds that are over."""
        worlds = len(observation["image"])
        start_BTA = torch.zeros(worlds, self.horizon, self.width)
        if self.plan_BTA is not None:
            start_BTA[:, : self.horizon - self.execute] = self.plan_BTA[:, self.execute :]
        open_P = np.flatnonzero(~np.asarray(info.get("over", np.zeros(worlds, dtype=bool))))
        if not len(open_P):
            return start_BTA
        energy = self.energies(*({name: value[open_P] for name, value in one.items()} for one in (observation, info)))
        found = self.solver.solve(
            lambda held: energy(held.repeat_interleave(self.hold, dim=2)),
            start_BTA=start_BTA[open_P, :: self.hold],
            seed=self._seed * 100_003 + self._done,
        )
        start_BTA[open_P] = found.repeat_interleave(self.hold, dim=1)
        return start_BTA
