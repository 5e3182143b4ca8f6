"""Planning with a V-JEPA 2-AC: the energy of actions is how far the predicted latents end from those of the goal."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa.errors import ConfigError
from vljepa.models.video.action_world import ActionWorld
from vljepa.planning.policies import Observation
from vljepa.planning.solvers import Energy
from vljepa.processing.frames import FrameProcessor


class ActionWorldEnergy:
    """Energies for `PlanningPolicy`: mean L1 over tokens and channels (arXiv 2506.09985, equation 5).

    With states, the next state is not predicted: it is the state before plus the action, as the position of a hand is.

    Args:
        world: A trained model.
        sum_steps: Whether the energy is the mean over all steps of the horizon; else that of the last one.
        state: Which entry of `info` is the state, for a model that was made for states.
    """

    def __init__(self, world: ActionWorld, *, sum_steps: bool = False, state: str = "position") -> None:
        config = world.config
        if config.state_width not in (None, config.action_width):
            raise ConfigError(
                f"states of {config.state_width} numbers and actions of {config.action_width} cannot be added up.",
                fix="plan with a model whose states are positions, or with one without states.",
            )
        self.world, self.sum_steps, self.state = world.eval(), sum_steps, state
        self.frames = FrameProcessor(world.x_encoder.config.image)

    @torch.no_grad()
    def encode(self, images: NDArray[Any]) -> Tensor:
        """Latents [B, n, D] of pictures [B, H, W, 3]."""
        return self.world.encode(self.frames.frames(list(images)).unsqueeze(1))[:, 0]

    def __call__(self, observation: Observation, info: dict[str, Any]) -> Energy:
        """Energies of actions from what is seen now to what is seen of the goals."""
        now_BnD, goals_BnD = self.encode(observation["image"]), self.encode(observation["goal"])
        state_BS: Tensor | None = None
        if self.world.config.state_width is not None:
            state_BS = torch.from_numpy(np.asarray(info[self.state], dtype=np.float32))

        def energy(actions_BNTA: Tensor) -> Tensor:
            plans, samples = actions_BNTA.shape[:2]
            rows = torch.arange(plans).repeat_interleave(samples)
            actions = actions_BNTA.flatten(0, 1)
            states = None
            if state_BS is not None:
                moved = actions.cumsum(1) - actions  # before each action
                states = state_BS[rows].unsqueeze(1) + moved
            path_MTnD = self.world.rollout(now_BnD[rows], actions, states)
            apart_MT = (path_MTnD - goals_BnD[rows].unsqueeze(1)).abs().mean((2, 3))
            return (apart_MT.mean(1) if self.sum_steps else apart_MT[:, -1]).view(plans, samples)

        return energy
