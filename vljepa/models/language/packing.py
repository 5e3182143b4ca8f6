"""Two views of a text in one row of a language model, each as if it were alone.

    first row:   a b </s>                     every token sees those before it: the next-token loss
    second row:  a PRED_1 ... PRED_k | b      two triangles: b does not see a, and its positions begin anew

Where the states of a view are read is kept with the tokens and never guessed: an offset of one reads another token's
state, and nothing says so. Source: arXiv 2509.14252, section 3. Shapes: B samples, V rows of each, S tokens of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vljepa.models.types import Packed


@dataclass(frozen=True)
class Pair:
    """Tokens of the two views of a sample.

    Args:
        first: Of the view that is predicted from.
        second: Of the view that is predicted.
    """

    first: Sequence[int]
    second: Sequence[int]


def pack(
    pairs: Sequence[Pair], *, end: int, padding: int, predictors: Sequence[int], views: bool, left: bool = False
) -> Packed:
    """Rows of samples: one each for the next-token loss, and with `views` one more each for the two views.

    Args:
        pairs: Of a batch.
        end: The token that ends a text; it is trained, whether or not it is the padding token too.
        padding: Fills rows up.
        predictors: Added tokens after the first view; none reads the first view's own last state.
        views: Whether the views are encoded too.
        left: Pad on the left.
    """
    rows: list[list[list[int]]] = []
    for one in pairs:
        rows.append([[*one.first, *one.second, end]])
        if views:
            rows.append([[*one.first, *predictors], list(one.second)])
    longest = max(sum(map(len, row)) for row in rows)
    tokens, labels = torch.full((len(rows), longest), padding), torch.full((len(rows), longest), -100)
    blocks, positions = torch.zeros(2, len(rows), longest, dtype=torch.long)
    starts, ends, predicts = [], [], []
    for number, row in enumerate(rows):
        begin = start = longest - sum(map(len, row)) if left else 0
        stops = []
        for view, block in enumerate(row, start=1):
            place = slice(begin, begin + len(block))
            tokens[number, place], positions[number, place] = torch.tensor(block), torch.arange(len(block))
            blocks[number, place] = view
            begin += len(block)
            stops.append(begin)
        if len(row) == 1:
            labels[number, start + 1 : begin] = tokens[number, start + 1 : begin]  # nothing comes before the first
            starts.append(start)
            ends.append(begin - 1)
        else:
            predicts.append([stops[0] - 1, stops[1] - 1])
    places = torch.tensor(predicts) if views else torch.full((len(pairs), 2), -1)
    tokens_BVS, blocks_BVS, positions_BVS, labels_BVS = (
        one.view(len(pairs), -1, longest) for one in (tokens, blocks, positions, labels)
    )
    return Packed(
        tokens_BVS,
        blocks_BVS,
        positions_BVS,
        labels_BVS,
        predicts_B=places[:, 0],
        targets_B=places[:, 1],
        starts_B=torch.tensor(starts),
        ends_B=torch.tensor(ends),
    )


def seen(blocks_RS: Tensor) -> Tensor:
    """Whether a token sees another, [R, S, S]: those of its own view up to itself.

    Padding sees padding, so that no row of a softmax is empty.
    """
    same_RSS = blocks_RS.unsqueeze(2) == blocks_RS.unsqueeze(1)
    return same_RSS.tril()
