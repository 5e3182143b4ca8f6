"""The answers of the training questions: counted, and embedded once for the softmax over all of them.

Shapes: A answers, E width of the Y-Encoder's features.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.data.records import Record
from vljepa.processing.answers import log_shares
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.text import normalise_text

_TEXTS = 64


def count_answers(sources: Sequence[Sequence[Record]]) -> dict[str, int]:
    """Rows per first text of all rows with an image and a question, in normal form; the most frequent first."""
    rows = (record for source in sources for record in source if record.query and record.image is not None)
    return dict(Counter(normalise_text(record.texts[0]) for record in rows).most_common())


class AnswerBank(nn.Module):
    """Frozen features of all training answers; the trained head projects them in every step.

    Args:
        counts: From `count_answers`.
        prior: Whether the logits are to have the logarithm of each answer's share.
        model: Whose frozen Y-Encoder embeds them.
        processor: Of the model.
    """

    features_AE: Tensor
    log_share_A: Tensor

    def __init__(self, counts: Mapping[str, int], *, prior: bool, model: VLJEPA, processor: VLJEPAProcessor) -> None:
        super().__init__()
        answers = list(counts)
        shares_A = torch.from_numpy(log_shares(counts, answers))
        self.register_buffer("features_AE", _embed(answers, model, processor), persistent=False)
        self.register_buffer("log_share_A", shares_A if prior else torch.zeros_like(shares_A), persistent=False)


@torch.no_grad()
def _embed(texts: Sequence[str], model: VLJEPA, processor: VLJEPAProcessor) -> Tensor:
    device = model.log_scale.device
    rows = []
    for start in range(0, len(texts), _TEXTS):
        tokens = processor.targets(list(texts[start : start + _TEXTS]))
        rows.append(model.text_features(tokens.to(device)).float())
    return torch.cat(rows)
