"""V-JEPA 2-AC as a module: the latents of the next frame from those so far and from what is done.

    frames ─> frozen encoder ─LayerNorm─> latents ─┐
                                                   ├─> block-causal predictor ─LayerNorm─> latents of the next frame
    actions (and states) ──────────────────────────┘

Source: arXiv 2506.09985, section 3. Shapes: T steps, n tokens of a frame, A and S numbers of an action and a state.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs import VJEPA2ACConfig
from vljepa.models.predictor import Predictor
from vljepa.models.types import Batch, Latents
from vljepa.models.x_encoder import XEncoder


class ActionWorld(nn.Module):
    """A frozen encoder of single frames, and a predictor that is trained.

    Args:
        config: What it is made of.
        x_encoder: The encoder that `config.encoder` names.
    """

    def __init__(self, config: VJEPA2ACConfig, x_encoder: XEncoder) -> None:
        super().__init__()
        self.config, self.x_encoder = config, x_encoder
        width = x_encoder.width
        self.predictor = Predictor(
            config.predictor,
            vision_width=width,
            embed_dim=width,
            action_width=config.action_width,
            state_width=config.state_width,
        )

    @torch.no_grad()
    def encode(self, pixels_BTCHW: Tensor) -> Tensor:
        """Latents [B, T, n, D] of frames, each seen by itself; a LayerNorm without weights on every token."""
        batch, steps = pixels_BTCHW.shape[:2]
        latents = self.x_encoder(pixels_BTCHW.flatten(0, 1).unsqueeze(1)).still()
        tokens_BTnD = latents.tokens_BND.float().unflatten(0, (batch, steps))
        return F.layer_norm(tokens_BTnD, tokens_BTnD.shape[-1:])

    def predict(self, latents_BTnD: Tensor, actions_BTA: Tensor, states_BTS: Tensor | None = None) -> Tensor:
        """Latents [B, T, n, D] of the frame after each step, from all frames, actions and states up to that step.

        Args:
            latents_BTnD: Of frames, or predicted.
            actions_BTA: What is done at each of them.
            states_BTS: Of what acts, before it acts; where the config has a `state_width`.
        """
        batch, steps, count = latents_BTnD.shape[:3]
        mask_BN = torch.ones(batch, steps * count, dtype=torch.bool, device=latents_BTnD.device)
        context = Latents(latents_BTnD.flatten(1, 2), mask_BN, steps=steps)
        state_BND = self.predictor(context, actions_BTA=actions_BTA, states_BTS=states_BTS)
        next_BTnD = self.predictor.head(state_BND).float().unflatten(1, (steps, count))
        return F.layer_norm(next_BTnD, next_BTnD.shape[-1:])

    def rollout(
        self, first_BnD: Tensor, actions_BTA: Tensor, states_BTS: Tensor | None = None, *, second: Tensor | None = None
    ) -> Tensor:
        """Latents [B, T, n, D] of the frames that actions lead to, each predicted from the ones predicted before.

        Args:
            first_BnD: Latents of the frame that they start from.
            actions_BTA: What is done.
            states_BTS: Of what acts, at each step.
            second: Latents of the next frame, [B, n, D], where they have been predicted already.
        """
        path = [first_BnD] if second is None else [first_BnD, second]
        while len(path) <= actions_BTA.shape[1]:
            steps = len(path)
            states = None if states_BTS is None else states_BTS[:, :steps]
            path.append(self.predict(torch.stack(path, dim=1), actions_BTA[:, :steps], states)[:, -1])
        return torch.stack(path[1:], dim=1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Errors of every trajectory, as `errors`, from pixels."""
        assert batch.pixels_BTCHW is not None
        assert batch.actions_BTA is not None
        return self.errors(self.encode(batch.pixels_BTCHW), batch.actions_BTA, batch.states_BTS)

    def errors(self, latents_BTnD: Tensor, actions_BTA: Tensor, states_BTS: Tensor | None = None) -> dict[str, Tensor]:
        """Errors (L1, mean over steps, tokens and channels) of every trajectory, [B] each.

        Args:
            latents_BTnD: Of its frames, one more than actions.
            actions_BTA: Between one frame and the next.
            states_BTS: At each frame, or at all but the last.

        Returns:
            `error`: of teacher forcing, each frame from all frames before it. `rollout_error`: of the frames that
            `config.rollout` actions lead to from the first one, where there is more than one.
        """
        states = None if states_BTS is None else states_BTS[:, : actions_BTA.shape[1]]
        forced_BTnD = self.predict(latents_BTnD[:, :-1], actions_BTA, states)
        rows = {"error": (forced_BTnD - latents_BTnD[:, 1:]).abs().mean((1, 2, 3))}
        steps = self.config.rollout
        if steps > 1:
            ahead = None if states is None else states[:, :steps]
            # What teacher forcing has made of the first frame is what a rollout begins with: it is not made twice.
            rolled = self.rollout(latents_BTnD[:, 0], actions_BTA[:, :steps], ahead, second=forced_BTnD[:, 0])
            rows["rollout_error"] = (rolled - latents_BTnD[:, 1 : steps + 1]).abs().mean((1, 2, 3))
        return rows
