"""What a Y-Decoder keeps beside its language model: where embeddings are read, names, phrases, and a memory of texts.

Shapes: B rows, D width of the shared space, K names of M tokens each, P phrases, S texts of the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs.decoder import YDecoderConfig
from vljepa.configs.residual import SideConfig
from vljepa.models.types import Entities

UNTOLD = -1
"""Fills up names with fewer tokens than others."""
READING = ("shift_D", "scale_D", "memory_SD")
"""Buffers by which predictions are read; they are of the run that fills them in."""
_LEAST_DEVIATION = 1e-4


class DecoderKnowledge(nn.Module):
    """Buffers that training or its end fills in; they are saved with the weights.

    Args:
        config: Of the Y-Decoder; its width must be filled in.
    """

    shift_D: Tensor
    scale_D: Tensor
    names_KM: Tensor
    names_KD: Tensor
    phrases_PD: Tensor
    drawings_K: Tensor
    memory_SD: Tensor

    def __init__(self, config: YDecoderConfig) -> None:
        super().__init__()
        assert config.embed_dim is not None, "the width is still to be asked of the model"
        self.config, self.width = config, config.embed_dim
        self.lexicon: tuple[str, ...] = ()
        """Words of the texts that it was trained on; it is saved with the weights. Empty where any word is one."""
        self.phrases: tuple[str, ...] = ()
        """Short texts that are captions by themselves, such as the names of drawings; saved with the weights."""
        # What predictions lack on average; fitted on validation images after training.
        self.register_buffer("shift_D", torch.zeros(self.width))
        self.register_buffer("scale_D", torch.ones(self.width))
        if config.phrases > 0:
            self.register_buffer("phrases_PD", torch.zeros(config.phrases, self.width))
        if config.drawings:
            assert config.entities is not None
            self.register_buffer("drawings_K", torch.zeros(config.entities.size + 1))
        if config.entities is not None:
            count, pieces = config.entities.size, config.entities.max_pieces
            self.register_buffer("names_KM", torch.full((count, pieces), UNTOLD))
            self.register_buffer("names_KD", torch.zeros(count, self.width))
        if config.memory is not None:
            self.register_buffer("memory_SD", torch.zeros(config.memory.size, self.width))

    def moved(self, embeddings_BD: Tensor) -> Tensor:
        """Predicted embeddings brought to where those of texts lie: by the mean gap, or onto the memory."""
        memory = self.config.memory
        if memory is None:
            return F.normalize(embeddings_BD * self.scale_D + self.shift_D, dim=-1)
        assert memory.temperature is not None
        weights_BS = (embeddings_BD.float() @ self.memory_SD.float().T / memory.temperature).softmax(-1)
        return F.normalize(weights_BS @ self.memory_SD.float(), dim=-1)

    def set_sides(self, image: SideConfig, text: SideConfig) -> None:
        """Read images where texts lie: each dimension gets the mean and the deviation of texts (TOMCap)."""
        means, stds = ([torch.tensor(getattr(one, name)) for one in (image, text)] for name in ("mean", "std"))
        self.scale_D.copy_(stds[1] / stds[0].clamp(min=_LEAST_DEVIATION))
        self.shift_D.copy_(means[1] - means[0] * self.scale_D)

    def set_memory(self, rows_SD: Tensor) -> None:
        """Fill in the embeddings of the texts that predictions are projected onto, unit norm."""
        assert self.config.memory is not None
        self.memory_SD = rows_SD.to(self.shift_D).clone()
        memory = self.config.memory.model_copy(update={"size": len(rows_SD)})
        self.config = self.config.model_copy(update={"memory": memory})

    def read_as(self, other: DecoderKnowledge) -> None:
        """Take from another decoder how predictions are brought to where texts lie."""
        self._buffers.pop("memory_SD", None)
        for name in READING:
            if name in other._buffers:
                self.register_buffer(name, getattr(other, name).clone())
        self.config = self.config.model_copy(update={"memory": other.config.memory})

    def set_names(self, pieces: Sequence[Sequence[int]], rows_KD: Tensor) -> None:
        """Fill in the names that entities are numbers of.

        Args:
            pieces: Token ids of every name.
            rows_KD: Embeddings of the names, unit norm.
        """
        assert len(pieces) == len(self.names_KM) == len(rows_KD)
        for row_M, ids in zip(self.names_KM, pieces, strict=True):
            kept = list(ids)[: len(row_M)]
            row_M[: len(kept)] = torch.tensor(kept)
        self.names_KD.copy_(rows_KD)

    def set_phrases(self, phrases: Sequence[str], rows_PD: Tensor) -> None:
        """Fill in the short texts that are captions by themselves, with their embeddings, unit norm."""
        self.phrases = tuple(phrases)
        self.register_buffer("phrases_PD", rows_PD.to(self.shift_D).clone())
        self.config = self.config.model_copy(update={"phrases": len(phrases)})

    def nearest_phrases(self, embeddings_BD: Tensor, *, count: int) -> list[list[str]]:
        """The phrases that are nearest to each embedding, the nearest first."""
        found_BN = (embeddings_BD.float() @ self.phrases_PD.float().T).topk(min(count, len(self.phrases)), dim=-1)
        return [[self.phrases[number] for number in row] for row in found_BN.indices.tolist()]

    def set_drawings(self, weights_K: Tensor) -> None:
        """Fill in what tells drawings from photos: weights of the classes' centred log-probabilities, and a bias."""
        self.register_buffer("drawings_K", weights_K.to(self.shift_D).clone())
        self.config = self.config.model_copy(update={"drawings": True})

    def drawn(self, classes_BK: Tensor) -> Tensor:
        """Whether images are drawings, [B], by what the X-Encoder's own classifier says; False without weights."""
        if not self.config.drawings:
            return torch.zeros(len(classes_BK), dtype=torch.bool, device=classes_BK.device)
        return centred(classes_BK) @ self.drawings_K[:-1].float() + self.drawings_K[-1].float() > 0

    def nearest(self, embeddings_BD: Tensor) -> Entities | None:
        """Entities by nearness: names whose embeddings are close; None for a decoder that reads no entities."""
        config = self.config.entities
        if config is None:
            return None
        assert config.temperature is not None
        return Entities.nearest(embeddings_BD, self.names_KD, temperature=config.temperature, count=config.count)


def centred(classes_BK: Tensor) -> Tensor:
    """Log-probabilities less their mean: a classifier's logits, but for a constant."""
    logs_BK = classes_BK.float().clamp(min=1e-30).log()
    return logs_BK - logs_BK.mean(dim=1, keepdim=True)
