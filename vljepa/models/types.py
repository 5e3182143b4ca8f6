"""What goes through the models: typed, so that nothing hides in a dictionary.

Shape legend: see `vljepa.models`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


class _Rows:
    """Dataclasses of tensors that have one row per sample, and of plain values that hold for all of them."""

    def to(self, device: torch.device | str) -> Self:
        """Copy on another device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def choose(self, rows: Sequence[int] | Tensor) -> Self:
        """Some rows, in this order; one may be there several times."""
        places: dict[torch.device, Tensor] = {}

        def pick(tensor: Tensor) -> Tensor:
            if tensor.device not in places:
                places[tensor.device] = torch.as_tensor(rows, device=tensor.device)
            return tensor[places[tensor.device]]

        return self._map(pick)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of all, of which there is at least one, in this order; the plain values are those of the first."""
        if len(parts) == 1:
            return parts[0]
        others = [iter(list(part._tensors())) for part in parts[1:]]
        return parts[0]._map(lambda tensor: torch.cat([tensor, *map(next, others)]))

    def _tensors(self) -> Iterator[Tensor]:
        rows: Any = self
        for value in (getattr(self, field.name) for field in fields(rows)):
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, _Rows):
                yield from value._tensors()

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        rows: Any = self
        changed: dict[str, Any] = {}
        for field in fields(rows):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = change(value)
            elif isinstance(value, _Rows):
                changed[field.name] = value._map(change)
        copy: Self = replace(rows, **changed)
        return copy


@dataclass(frozen=True)
class Latents(_Rows):
    """What an encoder makes of images, clips or texts.

    Args:
        tokens_BND: Latent tokens; of a clip, frames in order.
        mask_BN: True where a token is real.
        logits_BK: Output of the encoder's own classifier (mean over frames), where it has one.
        pooled_BD: The encoder's own embedding of the whole, in the space that a dual encoder's towers share (mean over
            frames), where it has one.
        steps: Steps in time that every row's tokens are made of, each with equally many: frames, or tubelets of an
            encoder that sees frames jointly; 1 is an image.
    """

    tokens_BND: Tensor
    mask_BN: Tensor
    logits_BK: Tensor | None = None
    pooled_BD: Tensor | None = None
    steps: int = 1

    def still(self) -> Latents:
        """A clip as one image: the mean of its steps, place by place; an image is itself."""
        if self.steps == 1:
            return self
        tokens_BTND = self.tokens_BND.unflatten(1, (self.steps, -1))
        mask_BTN1 = self.mask_BN.unflatten(1, (self.steps, -1)).unsqueeze(-1)
        real_BN1 = mask_BTN1.sum(1)
        tokens_BND = (tokens_BTND * mask_BTN1).sum(1) / real_BN1.clamp(min=1)
        return replace(self, tokens_BND=tokens_BND, mask_BN=real_BN1.squeeze(-1) > 0, steps=1)


@dataclass(frozen=True)
class Tokens(_Rows):
    """Tokenized texts.

    Args:
        ids_BL: Token ids.
        mask_BL: True on real tokens.
    """

    ids_BL: Tensor
    mask_BL: Tensor

    def cut(self) -> Tokens:
        """Without the positions that are padding in every row."""
        longest = int(self.mask_BL.sum(1).max())
        return Tokens(self.ids_BL[:, :longest], self.mask_BL[:, :longest])


@dataclass(frozen=True)
class Entities(_Rows):
    """The most probable of a list of names, for the Y-Decoder.

    Args:
        numbers_BN: Places in the list.
        strengths_BN: Their probabilities; what has 0 is not told.
    """

    numbers_BN: Tensor
    strengths_BN: Tensor

    @classmethod
    def nearest(cls, embeddings_BD: Tensor, names_KD: Tensor, *, temperature: float, count: int) -> Self:
        """Those of K names whose embeddings are close, both of unit norm: softmax(cosine / temperature)."""
        return cls.of_logits(embeddings_BD.float() @ names_KD.float().T / temperature, count=count)

    @classmethod
    def of_logits(cls, logits_BK: Tensor, *, count: int) -> Self:
        """The most probable of K names."""
        return cls.of_probabilities(logits_BK.float().softmax(-1), count=count)

    @classmethod
    def of_probabilities(cls, probabilities_BK: Tensor, *, count: int) -> Self:
        """The same, from probabilities."""
        strengths, numbers = probabilities_BK.topk(min(count, probabilities_BK.shape[1]), dim=-1)
        return cls(numbers, strengths)

    def and_untold(self) -> Self:
        """Twice the rows: as they are, and with nothing told."""
        untold_BN = torch.zeros_like(self.strengths_BN)
        return type(self)(torch.cat([self.numbers_BN] * 2), torch.cat([self.strengths_BN, untold_BN]))


@dataclass(frozen=True)
class Packed(_Rows):
    """Texts of samples in V rows each of a language model; see `vljepa.models.language.packing`.

    Args:
        tokens_BVS: Token ids, the padding token where there is none.
        blocks_BVS: Number of the view that a token is of, from 1; 0 is padding. Tokens of other views are not seen.
        positions_BVS: Places in their own view.
        labels_BVS: What the next-token loss asks for at each place; -100 where nothing is.
        predicts_B: Place in the last row of the state that predicts; -1 where there is no row for views.
        targets_B: Place of the state that is predicted, likewise.
        starts_B: Place in the first row of the text's first token.
        ends_B: Place of its last one.
    """

    tokens_BVS: Tensor
    blocks_BVS: Tensor
    positions_BVS: Tensor
    labels_BVS: Tensor
    predicts_B: Tensor
    targets_B: Tensor
    starts_B: Tensor
    ends_B: Tensor


@dataclass(frozen=True, kw_only=True)
class Batch(_Rows):
    """Samples of one group of one step: contexts, conditions, targets, and what a loss knows them by.

    Args:
        pixels_BTCHW: Contexts as normalised pixels; or
        latents: contexts as a frozen encoder has seen them; or
        prior_BE: for samples of text alone, the feature that a label prior would have given for an image.
        query: Condition: a question.
        actions_BTA: Condition: what is done at each step in time, A numbers.
        states_BTS: Condition: the state of what acts at each step, S numbers.
        asked_BN: Condition: which tokens of the context are hidden and to be predicted.
        roles_BKN: Condition of K masks: whether a token is left out, seen or asked for (`models.video.masks`).
        packed: Pairs of texts, for a language model.
        target: Target texts; or
        target_features_BE: what a frozen target encoder has made of them, before its head.
        pair_ids_B: Integer per sample, equal exactly for equal (source_id, query).
        text_ids_B: Integer per sample, equal exactly for equal normalised targets.
        answer_ids_B: Number of the right answer among the training answers.
        gate_only: Whether these samples train the gate of the residual and nothing else.
    """

    pixels_BTCHW: Tensor | None = None
    latents: Latents | None = None
    prior_BE: Tensor | None = None
    query: Tokens | None = None
    actions_BTA: Tensor | None = None
    states_BTS: Tensor | None = None
    asked_BN: Tensor | None = None
    roles_BKN: Tensor | None = None
    packed: Packed | None = None
    target: Tokens | None = None
    target_features_BE: Tensor | None = None
    pair_ids_B: Tensor | None = None
    text_ids_B: Tensor | None = None
    answer_ids_B: Tensor | None = None
    gate_only: bool = False

    def cut(self, *, target: bool) -> Batch:
        """Without positions that are padding in every sample: of the query, and of the target if asked."""
        return replace(
            self,
            query=None if self.query is None else self.query.cut(),
            target=self.target.cut() if target and self.target is not None else self.target,
        )

    @property
    def has_targets(self) -> bool:
        """Whether there is something to be predicted; what is replayed has nothing."""
        return self.target is not None or self.target_features_BE is not None

    @property
    def size(self) -> int:
        """Samples, B."""
        first = next(self._tensors(), None)
        return 0 if first is None else len(first)


@dataclass(frozen=True)
class Outputs:
    """One training forward.

    Args:
        prediction_BD: Predicted embeddings, S_hat_Y: fp32, unit norm.
        target_BD: Embeddings of the targets, S_Y: fp32, unit norm.
        logit_scale: 1 / temperature, shape (1,), fp32.
        latents: What the context encoder saw; None for samples of text alone.
        target_features_BE: What a target encoder that is not trained has made of the targets, before its head.
    """

    prediction_BD: Tensor
    target_BD: Tensor
    logit_scale: Tensor
    latents: Latents | None = None
    target_features_BE: Tensor | None = None
