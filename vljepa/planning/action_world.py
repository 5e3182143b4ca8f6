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
    A horizon of more steps than the model was trained with asks for times that it has never seen.

    Args:
        world: A trained model.
        sum_steps: Whether the energy is the mean over all steps of the horizon; else that of the last one.
        at_once: Plans that are rolled out together: memory grows with it.
        state: Which entry of `info` is the state, for a model that was made for states.
    """

    def __init__(
        self, world: ActionWorld, *, sum_steps: bool = False, state: str = "position", at_once: int = 1024
    ) -> None:
        config = world.config
        if config.state_width not in (None, config.action_width):
            raise ConfigError(
                f"states of {config.state_width} numbers and actions of {config.action_width} cannot be added up.",
                fix="plan with a model whose states are positions, or with one without states.",
            )
        self.world, self.sum_steps, self.state, self.at_once = world.eval(), sum_steps, state, at_once
        self.device = next(world.parameters()).device
        self.frames = FrameProcessor(world.x_encoder.config.image)

    @torch.no_grad()
    def encode(self, images: NDArray[Any]) -> Tensor:
        """Latents [B, n, D] of pictures [B, H, W, 3]."""
        return self.world.encode(self.frames.frames(list(images)).unsqueeze(1).to(self.device))[:, 0]

    def __call__(self, observation: Observation, info: dict[str, Any]) -> Energy:
        """Energies of actions from what is seen now to what is seen of the goals."""
        now_BnD, goals_BnD = self.encode(observation["image"]), self.encode(observation["goal"])
        state_BS: Tensor | None = None
        if self.world.config.state_width is not None:
            state_BS = torch.from_numpy(np.asarray(info[self.state], dtype=np.float32)).to(self.device)

        def energy_of(rows: Tensor, actions_MTA: Tensor) -> Tensor:
            states = None
            if state_BS is not None:
                moved = actions_MTA.cumsum(1) - actions_MTA  # before each action
                states = state_BS[rows].unsqueeze(1) + moved
            path_MTnD = self.world.rollout(now_BnD[rows], actions_MTA, states)
            if not self.sum_steps:
                path_MTnD = path_MTnD[:, -1:]
            return (path_MTnD - goals_BnD[rows].unsqueeze(1)).abs().mean((1, 2, 3))

        def energy(actions_BNTA: Tensor) -> Tensor:
            plans, samples = actions_BNTA.shape[:2]
            rows = torch.arange(plans, device=self.device).repeat_interleave(samples)
            actions_MTA = actions_BNTA.flatten(0, 1).to(self.device)
            pieces = [slice(start, start + self.at_once) for start in range(0, len(rows), self.at_once)]
            found_M = torch.cat([energy_of(rows[one], actions_MTA[one]) for one in pieces])
            return found_M.view(plans, samples).to(actions_BNTA.device)

        return energy
