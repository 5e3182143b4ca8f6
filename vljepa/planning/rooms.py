"""Episodes in Two Rooms: by a trained model, by the simulator as its own model, and by what plans nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from torch import Tensor

import vljepa.planning.two_rooms_env  # noqa: F401, registers the worlds
from vljepa.checkpoint.eb_jepa import MODEL_TYPE as EB_JEPA
from vljepa.checkpoint.eb_jepa import read_vector_world
from vljepa.checkpoint.saved_world import kind_of
from vljepa.checkpoint.v_jepa2_ac import MODEL_TYPE as V_JEPA2_AC
from vljepa.checkpoint.v_jepa2_ac import read_action_world
from vljepa.data.worlds.two_rooms import REACH, Walls, move
from vljepa.errors import CheckpointError, ConfigError
from vljepa.planning.action_world import ActionWorldEnergy
from vljepa.planning.bounds import Ball
from vljepa.planning.evaluate import Evaluation, Watch, evaluate
from vljepa.planning.policies import Energies, Observation, PlanningPolicy, Policy, RandomPolicy, StraightLine
from vljepa.planning.solvers import CEM, MPPI, Energy, Solver
from vljepa.planning.vector_world import VectorWorldEnergy

SIMULATOR, STRAIGHT, RANDOM = "simulator", "straight_line", "random"
BASELINES = (SIMULATOR, STRAIGHT, RANDOM)
"""What can act instead of a trained model."""


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """How plans are made, and in which worlds.

    Args:
        walls: `random`, another wall and door in every world, or `fixed`.
        episodes: Worlds of each seed.
        seeds: Of worlds and samples.
        budget: Steps of an episode.
        solver: `cem` or `mppi`.
        samples: Of each round.
        rounds: Of sampling.
        elites: Samples that make the next distribution of `cem`.
        std: Of the first samples, in pixels.
        horizon: Steps that are planned.
        hold: Steps that a planned action lasts.
        execute: Steps that are done before the next plan.
    """

    walls: Literal["random", "fixed"] = "random"
    episodes: int = 100
    seeds: tuple[int, ...] = (0, 1, 2)
    budget: int = 200
    solver: Literal["cem", "mppi"] = "cem"
    samples: int = 300
    rounds: int = 5
    elites: int = 10
    std: float = 2.5
    horizon: int = 90
    hold: int = 15
    execute: int = 15

    def __post_init__(self) -> None:
        if self.solver not in ("cem", "mppi"):
            raise ConfigError(f"there is no solver {self.solver!r}.", fix="use cem or mppi.")
        for name in ("episodes", "budget", "samples", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}.", fix="give 1 or more.")

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def find(self) -> Solver:
        """The solver, within the longest step that can be made."""
        if self.solver == "mppi":
            return MPPI(bounds=Ball(REACH), std=self.std, samples=self.samples, rounds=self.rounds)
        return CEM(bounds=Ball(REACH), std=self.std, samples=self.samples, rounds=self.rounds, elites=self.elites)


def make_worlds(settings: PlanSettings) -> Any:
    """The worlds of one seed."""
    return gymnasium.make_vec("vljepa/TwoRooms-v0", num_envs=settings.episodes, walls=settings.walls)


def energies_of(model: str | Path, *, device: str | None = None) -> Energies:
    """What judges plans: a folder of `vljepa train`, or `simulator`.

    Raises:
        CheckpointError: There is no world model in the folder.
    """
    if model == SIMULATOR:
        return simulated
    folder, place = Path(model), device or "cpu"
    kind = kind_of(folder)
    if kind == EB_JEPA:
        return VectorWorldEnergy(read_vector_world(folder).to(place))
    if kind == V_JEPA2_AC:
        return ActionWorldEnergy(read_action_world(folder).to(place), sum_steps=True)
    raise CheckpointError(
        f"{str(folder)!r} is no world model (its model_type is {kind!r}).",
        fix=f"name a folder of `vljepa train` with method {EB_JEPA} or {V_JEPA2_AC}, or one of {', '.join(BASELINES)}.",
    )


def policy_of(model: str | Path, energies: Energies | None, settings: PlanSettings) -> Policy:
    """What acts: a planner where there are energies, else the baseline of this name."""
    if energies is not None:
        return PlanningPolicy(
            energies, settings.find(), horizon=settings.horizon, execute=settings.execute, hold=settings.hold
        )
    return StraightLine() if model == STRAIGHT else RandomPolicy(std=REACH)


def plan(
    model: str | Path,
    settings: PlanSettings,
    *,
    device: str | None = None,
    progress: Callable[[int], None] | None = None,
    film: Callable[[Any, Energies | None], Watch] | None = None,
) -> Evaluation:
    """Episodes of all seeds.

    Args:
        model: A folder of `vljepa train`, or one of `BASELINES`.
        settings: Worlds and planner.
        device: Of the model.
        progress: Called after every step with the number of episodes of this seed that are over.
        film: Called with the worlds and the energies, gives what watches them.

    Raises:
        CheckpointError: There is no world model of that name.
    """
    worlds = make_worlds(settings)
    energies = None if model in (STRAIGHT, RANDOM) else energies_of(model, device=device)
    return evaluate(
        worlds,
        policy_of(model, energies, settings),
        seeds=settings.seeds,
        budget=settings.budget,
        progress=progress,
        watch=None if film is None else film(worlds, energies),
    )


def simulated(observation: Observation, info: dict[str, Any]) -> Energy:
    """The world itself as the model, and the straight distance in pixels as the energy: a ceiling for planners."""
    del observation
    walls = Walls(info["wall"], info["door"])

    def energy(actions_BNTA: Tensor) -> Tensor:
        count, samples, steps, _ = actions_BNTA.shape
        rows = np.repeat(np.arange(count), samples)
        places_M2, goals_M2 = info["position"][rows], info["goal_position"][rows]
        cost_M = np.zeros(len(rows))
        for step in range(steps):
            places_M2 = move(places_M2, actions_BNTA[:, :, step].reshape(-1, 2).numpy(), walls[rows])
            cost_M += np.linalg.norm(places_M2 - goals_M2, axis=1)
        return torch.from_numpy(cost_M).view(count, samples)

    return energy
