"""How often a policy reaches its goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from vljepa.errors import ConfigError
from vljepa.metrics.classification import accuracy_interval
from vljepa.planning.policies import Policy

Watch = Callable[[int, dict[str, NDArray[Any]], NDArray[np.bool_]], None]
"""Called with the seed, what is seen, and which episodes are over."""


@dataclass(frozen=True)
class Evaluation:
    """Episodes of several seeds.

    Args:
        reached_SB: Whether each of B episodes of each seed ended at its goal.
        steps_SB: After how many steps; the budget where it did not.
        distance_SB: How far from the goal it ended.
    """

    reached_SB: NDArray[np.bool_]
    steps_SB: NDArray[np.int64]
    distance_SB: NDArray[np.float64]

    @property
    def success(self) -> float:
        """Share of all episodes."""
        return float(self.reached_SB.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's, 95%, over all episodes."""
        return accuracy_interval(int(self.reached_SB.sum()), self.reached_SB.size)


def evaluate(
    world: VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    seeds: Sequence[int],
    budget: int,
    progress: Callable[[int], None] | None = None,
    watch: Watch | None = None,
) -> Evaluation:
    """Episodes of all worlds, once for each seed.

    Args:
        world: Worlds that stay as they are when they are over (autoreset disabled).
        policy: What acts in them.
        seeds: Of the worlds and of the policy.
        budget: Steps of an episode.
        progress: Called after every step with the number of episodes that are over.
        watch: Called with the seed, what is seen and which episodes are over, before every step and after the last.

    Raises:
        ConfigError: The worlds are reset by themselves: an episode would be told from the next one by nothing.
    """
    if world.metadata.get("autoreset_mode") != AutoresetMode.DISABLED:
        raise ConfigError(
            f"the worlds reset themselves ({world.metadata.get('autoreset_mode')}).",
            fix="make them with autoreset_mode=AutoresetMode.DISABLED.",
        )
    found = [_episodes(world, policy, seed=seed, budget=budget, progress=progress, watch=watch) for seed in seeds]
    reached, steps, distance = (np.stack(one) for one in zip(*found, strict=True))
    return Evaluation(reached, steps, distance)


def _episodes(
    world: VectorEnv[Any, Any, Any],
    policy: Policy,
    *,
    seed: int,
    budget: int,
    progress: Callable[[int], None] | None,
    watch: Watch | None,
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    observation, info = world.reset(seed=seed)
    policy.reset(seed=seed)
    over_B = np.zeros(world.num_envs, dtype=bool)
    steps_B = np.full(world.num_envs, budget)
    for step in range(1, budget + 1):
        if watch is not None:
            watch(seed, observation, over_B)
        observation, _, terminated_B, _, info = world.step(policy.act(observation, info))
        steps_B[terminated_B & ~over_B] = step
        over_B |= terminated_B
        if progress is not None:
            progress(int(over_B.sum()))
        if over_B.all():
            break
    if watch is not None:
        watch(seed, observation, over_B)
    return over_B, steps_B, np.asarray(info["distance"], dtype=np.float64)
