"""From the tokens of a text to one feature."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(tokens_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Mean over valid tokens, [B, D]; a row without any gives zeros."""
    weight_BL1 = mask_BL.to(tokens_BLD.dtype).unsqueeze(-1)
    return (tokens_BLD * weight_BL1).sum(1) / weight_BL1.sum(1).clamp(min=1)


def pool_text(tokens_BLD: Tensor, mask_BL: Tensor, *, how: str) -> Tensor:
    """Sentence embedding [B, D]: `mean` of valid tokens, `last` valid token, or first token (`cls`).

    `last` is found in the mask, so it is right under left and right padding alike.
    """
    if how == "mean":
        return masked_mean(tokens_BLD, mask_BL)
    if how == "cls":
        first_B = mask_BL.long().argmax(1)
        return tokens_BLD[torch.arange(len(tokens_BLD), device=tokens_BLD.device), first_B]
    assert how == "last", how
    positions_L = torch.arange(mask_BL.shape[1], device=mask_BL.device)
    last_B = (positions_L * mask_BL.long()).argmax(1)
    return tokens_BLD[torch.arange(len(tokens_BLD), device=tokens_BLD.device), last_B]
