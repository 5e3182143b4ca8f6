"""V-JEPA as a module: tensors in, errors of every clip out.

    clip ─> what is seen ─> encoder ─latents─> predictor(where it is hidden) ─> predicted latents ─┐
                                                                                                   ├─> error
    clip ──────────────────> teacher ─LayerNorm──────────────────────────────> latents there ──────┘

Source: arXiv 2404.08471 (V-JEPA), 2506.09985 (V-JEPA 2), 2603.14482 (context loss and levels).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.backends.video_layers import VideoEncoder, patchified
from vljepa.configs.v_jepa import VJEPAConfig
from vljepa.models.targets import Teacher
from vljepa.models.types import Batch
from vljepa.models.video.masks import ASKED, SEEN, distance_to_asked, ids_of
from vljepa.models.video.predictor import LatentPredictor


class VJEPA(nn.Module):
    """Encoder, predictor, and a teacher where the config asks for one.

    Args:
        config: What it is made of.
    """

    def __init__(self, config: VJEPAConfig) -> None:
        super().__init__()
        self.config = config
        width, levels = config.encoder.width, config.levels
        self.levels = tuple(round(config.encoder.depth * one / levels) for one in range(1, levels + 1))
        self.encoder = VideoEncoder(config.encoder)
        patch = 3 * config.encoder.tubelet * config.encoder.patch**2
        self.predictor = LatentPredictor(
            config.predictor,
            positions=config.encoder.positions,
            seen_width=levels * width,
            asked_width=patch if config.target.name == "pixels" else levels * width,
            levels=levels,
            context=config.context_loss is not None,
        )
        self.teacher = Teacher(self.encoder) if config.target.name == "teacher" else None

    @property
    def representing(self) -> VideoEncoder:
        """The encoder to use afterwards: the teacher, which is the better one, where there is a teacher."""
        encoder = self.encoder if self.teacher is None else self.teacher.encoder
        assert isinstance(encoder, VideoEncoder)
        return encoder

    @torch.no_grad()
    def represent(self, pixels_BTCHW: Tensor) -> Tensor:
        """Latents of whole clips, [B, N, D]."""
        latents_BND: Tensor = self.representing(pixels_BTCHW)[-1]
        return latents_BND

    def targets(self, pixels_BTCHW: Tensor) -> Tensor:
        """What is predicted of every token: each level through a LayerNorm without weights, side by side."""
        if self.config.target.name == "pixels":
            found = [patchified(pixels_BTCHW, self.config.encoder)]
        else:
            encoder = self.encoder if self.teacher is None else self.teacher
            found = encoder(pixels_BTCHW, levels=self.levels)
        return torch.cat([F.layer_norm(one.float(), one.shape[-1:]) for one in found], dim=-1)

    def predict(self, pixels_BTCHW: Tensor, roles_BN: Tensor, *, mask: int) -> tuple[Tensor, Tensor | None]:
        """What is predicted of the asked tokens of one mask, and of the seen ones: only what is seen is encoded."""
        seen_BN, asked_BM = ids_of(roles_BN, SEEN), ids_of(roles_BN, ASKED)
        context_BND = torch.cat(self.encoder(pixels_BTCHW, seen_BN, levels=self.levels), dim=-1)
        grid = self.encoder.grid(pixels_BTCHW)
        predicted: tuple[Tensor, Tensor | None] = self.predictor(context_BND, seen_BN, asked_BM, grid=grid, mask=mask)
        return predicted

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """What the loss is made of, a row for every clip.

        Returns:
            `error`: of what is asked for, mean over masks, tokens and channels. `context_error`: of what is seen, where
            that is learned. `latents`: [B, N, D], the targets where they get gradients.
        """
        pixels_BTCHW, roles_BKN = batch.pixels_BTCHW, batch.roles_BKN
        assert pixels_BTCHW is not None
        assert roles_BKN is not None
        targets_BND = self.targets(pixels_BTCHW)
        grid = self.encoder.grid(pixels_BTCHW)
        errors, of_context = [], []
        for number, roles_BN in enumerate(roles_BKN.unbind(1)):
            asked_BMD, seen_BND = self.predict(pixels_BTCHW, roles_BN, mask=number)
            errors.append(self._error(asked_BMD, _at(targets_BND, ids_of(roles_BN, ASKED))).mean(1))
            if seen_BND is not None:
                near_BN = distance_to_asked(roles_BN, grid=grid).rsqrt()
                error_BN = self._error(seen_BND, _at(targets_BND, ids_of(roles_BN, SEEN)))
                of_context.append((near_BN * error_BN).mean(1))
        rows = {"error": torch.stack(errors).mean(0)}
        if of_context:
            rows["context_error"] = torch.stack(of_context).mean(0)
        if self.config.target.name == "regularised":
            rows["latents"] = targets_BND
        return rows

    def _error(self, predicted_BND: Tensor, target_BND: Tensor) -> Tensor:
        """Of every token, [B, N]: L1 of latents; the square of pixels, as masked autoencoders have it."""
        difference = predicted_BND.float() - target_BND
        return (difference.square() if self.config.target.name == "pixels" else difference.abs()).mean(-1)


def _at(values_BND: Tensor, ids_BM: Tensor) -> Tensor:
    return values_BND.gather(1, ids_BM.unsqueeze(-1).expand(-1, -1, values_BND.shape[-1]))
