"""LLM-JEPA: next tokens, and the latents of one view of a pair from the other one's (arXiv 2509.14252).

    a b </s> ────────────> language model ──> next-token loss
    a PRED ──────────────> the same ──state of the last PRED──┐
                                                              ├──> 1 - cosine
    b ───────────────────> the same ──state of the last token─┘

Nothing stops the gradient, and there is no teacher: the next-token loss keeps the states apart. Shapes: B samples,
V rows of each, R = B V, S tokens, D width of the language model.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs import LLMJEPAConfig
from vljepa.models.language.packing import seen
from vljepa.models.types import Batch, Packed


class LLMJEPA(nn.Module):
    """A causal language model, and the states that it is compared by.

    Args:
        config: What it is trained for.
        language_model: Of transformers, with an embedding for each added token.
    """

    def __init__(self, config: LLMJEPAConfig, language_model: Any) -> None:
        super().__init__()
        self.config, self.language_model = config, language_model

    def states(self, packed: Packed) -> tuple[Tensor, Tensor]:
        """Last states [B, V, S, D], after the final norm, and logits [B, V, S, vocabulary]."""
        blocks_RS = packed.blocks_BVS.flatten(0, 1)
        dtype = self.language_model.dtype
        mask_RSS = seen(blocks_RS)
        bias_R1SS = torch.zeros(mask_RSS.shape, dtype=dtype, device=mask_RSS.device)
        bias_R1SS = bias_R1SS.masked_fill(~mask_RSS, torch.finfo(dtype).min).unsqueeze(1)
        found = self.language_model(
            input_ids=packed.tokens_BVS.flatten(0, 1),
            attention_mask=bias_R1SS,
            position_ids=packed.positions_BVS.flatten(0, 1),
            output_hidden_states=True,
            use_cache=False,
        )
        shape = packed.tokens_BVS.shape[:2]
        return found.hidden_states[-1].unflatten(0, shape), found.logits.unflatten(0, shape)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Of every sample `next_token`, the sum of its losses, over so many `tokens`, [B] each.

        With views also `predicted` and `target`, [B, D], and with a weight for it `bend`, [B]: see `bend`.
        """
        packed = batch.packed
        assert packed is not None
        states_BVSD, logits_BVSK = self.states(packed)
        labels_BS = packed.labels_BVS[:, 0, 1:]
        losses_BS = F.cross_entropy(
            logits_BVSK[:, 0, :-1].float().transpose(1, 2), labels_BS, ignore_index=-100, reduction="none"
        )
        rows = {"next_token": losses_BS.sum(1), "tokens": (labels_BS != -100).sum(1).float()}
        if packed.tokens_BVS.shape[1] > 1:
            rows["predicted"], rows["target"] = (
                _at(states_BVSD[:, -1], places_B).float() for places_B in (packed.predicts_B, packed.targets_B)
            )
        if self.config.straightness:
            rows["bend"] = bend(states_BVSD[:, 0].float(), packed)
        return rows


def distance(predicted_BD: Tensor, target_BD: Tensor, *, objective: str, temperature: float) -> Tensor:
    """How far predictions are from the second views' latents: a scalar.

    Args:
        predicted_BD: States that predict.
        target_BD: States that are predicted.
        objective: `cosine`: 1 - cosine; `l2`: norm of the difference; `infonce`: among all samples' targets.
        temperature: Of `infonce`.
    """
    if objective == "l2":
        return torch.linalg.vector_norm(predicted_BD - target_BD, dim=-1).mean()
    if objective == "cosine":
        return 1 - F.cosine_similarity(predicted_BD, target_BD, dim=-1).mean()
    logits_BB = F.normalize(predicted_BD, dim=-1) @ F.normalize(target_BD, dim=-1).T / temperature
    return F.cross_entropy(logits_BB, torch.arange(len(logits_BB), device=logits_BB.device))


def bend(states_BSD: Tensor, packed: Packed) -> Tensor:
    """Semantic tube prediction (arXiv 2602.22617): how far the states of a text are from a straight way, [B].

    1 - cosine of how the state changes over a span of the text, and how it changes over the rest. The span is the
    middle half of the text between its first and its last token.
    """
    length_B = packed.ends_B - packed.starts_B
    first_B, last_B = packed.starts_B + length_B // 4, packed.ends_B - length_B // 4
    start, first, last, end = (_at(states_BSD, one) for one in (packed.starts_B, first_B, last_B, packed.ends_B))
    return 1 - F.cosine_similarity((first - start) + (end - last), last - first, dim=-1)


def _at(states_BSD: Tensor, places_B: Tensor) -> Tensor:
    return states_BSD[torch.arange(len(places_B), device=places_B.device), places_B]
