"""The opponent: a vision-language model that writes tokens, from the LM slice that the Predictor starts from.

Shapes: B images, N visual tokens of width D, C candidates, T nodes of the tree of their tokens, E tokens scored,
S = N + T, W width of the language model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vljepa.backends import part_config, part_folder
from vljepa.configs import PartSpec, PredictorConfig, YDecoderConfig
from vljepa.configs.decoder import GenerationConfig
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.text import normalise_text
from vljepa.processing.words import DecoderTokenizer, Vocabulary

IMAGES_PER_FORWARD = 4


class TokenVLM(YDecoder):
    """Visual tokens, projected one by one, in front of a causal language model; all of it is trained.

    Loss and generation are the Y-Decoder's: the projected tokens stand where its prefix does. Of the config, `part` is
    the LM slice, `embed_dim` the width of a visual token, `prefix_tokens` their number.
    """

    def __init__(self, config: YDecoderConfig) -> None:
        super().__init__(config)
        self.vision_norm = nn.LayerNorm(self.width)
        self.prefix = nn.Linear(self.width, int(self.lm.config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)
        self.requires_grad_(True)

    def condition(self, embeddings_BD: Tensor) -> Tensor:
        """Visual tokens [B, N, D] in the language model's width."""
        projected: Tensor = self.prefix(self.vision_norm(embeddings_BD.to(self.prefix.weight.dtype)))
        return projected

    def keep_vocabulary(self, kept: Sequence[int], *, begin: int, end: int) -> None:
        """Cut word embeddings and LM head, one matrix, to the tokens `kept`; `begin` and `end` are new ids."""
        words: nn.Embedding = self.lm.get_input_embeddings()
        cut = nn.Embedding(len(kept), words.embedding_dim)
        with torch.no_grad():
            cut.weight.copy_(words.weight[torch.tensor(kept)])
        self.lm.set_input_embeddings(cut)
        self.lm.lm_head = nn.Linear(words.embedding_dim, len(kept), bias=False)
        self.lm.lm_head.weight = cut.weight
        for config in (self.lm.config, self.lm.generation_config):
            config.bos_token_id, config.eos_token_id, config.pad_token_id = begin, end, end
        self.lm.config.vocab_size = len(kept)

    @torch.no_grad()
    def log_likelihoods(self, tokens_BND: Tensor, rows: Sequence[Sequence[int]]) -> Tensor:
        """Log-likelihood of every candidate for every image, the end mark included, summed over tokens: fp32 [B, C].

        All candidates, ids from begin to end mark, go through in one sequence, hidden from each other but for common
        beginnings.
        """
        packed = pack(rows, prefix=tokens_BND.shape[1])
        found = []
        for chunk_BND in tokens_BND.split(IMAGES_PER_FORWARD):
            size = len(chunk_BND)
            words_BTW = self.lm.get_input_embeddings()(packed.ids_T).expand(size, -1, -1)
            sequence_BSW = torch.cat([self.condition(chunk_BND).to(words_BTW.dtype), words_BTW], dim=1)
            lowest = torch.finfo(sequence_BSW.dtype).min
            mask_SS = torch.zeros(packed.sees_SS.shape, dtype=sequence_BSW.dtype).masked_fill(~packed.sees_SS, lowest)
            logits_BTV = self.lm(
                inputs_embeds=sequence_BSW,
                attention_mask=mask_SS.expand(size, 1, -1, -1),
                position_ids=packed.positions_S.expand(size, -1),
                logits_to_keep=len(packed.ids_T),
                use_cache=False,
            ).logits.float()
            likelihood_BE = logits_BTV[:, packed.node_E, packed.next_E] - logits_BTV.logsumexp(dim=2)[:, packed.node_E]
            found.append(torch.zeros(size, len(rows)).index_add_(1, packed.owner_E, likelihood_BE))
        return torch.cat(found)


class Packed(NamedTuple):
    """Candidates as a tree: a beginning that several share is one node.

    Of each node its token; of each token, visual ones first, its position and what it sees; of each token that is
    scored, the node before it, its id, and its candidate.
    """

    ids_T: Tensor
    positions_S: Tensor
    sees_SS: Tensor
    node_E: Tensor
    next_E: Tensor
    owner_E: Tensor


def pack(rows: Sequence[Sequence[int]], *, prefix: int) -> Packed:
    """One sequence of all candidates, behind `prefix` visual tokens."""
    nodes: dict[tuple[int, ...], int] = {}
    edges = []
    for owner, row in enumerate(rows):
        for place in range(1, len(row)):
            edges.append((nodes.setdefault(tuple(row[:place]), len(nodes)), row[place], owner))
    size = prefix + len(nodes)
    sees_SS = torch.zeros(size, size, dtype=torch.bool)
    sees_SS[:, :prefix] = True
    sees_SS[:prefix, :prefix] = torch.ones(prefix, prefix).tril().bool()
    for path, node in nodes.items():
        sees_SS[prefix + node, [prefix + nodes[path[: depth + 1]] for depth in range(len(path))]] = True
    node_E, next_E, owner_E = torch.tensor(edges).T
    return Packed(
        ids_T=torch.tensor([path[-1] for path in nodes]),
        positions_S=torch.tensor([*range(prefix), *(prefix + len(path) - 1 for path in nodes)]),
        sees_SS=sees_SS,
        node_E=node_E,
        next_E=next_E,
        owner_E=owner_E,
    )


class CutVocabulary:
    """A vocabulary of which the tokens of some texts, in the tokenizer's normal form, are left, renumbered."""

    def __init__(self, whole: Vocabulary, texts: Sequence[str]) -> None:
        self.whole = whole
        self.kept = sorted({whole.begin, whole.end}.union(*(whole.pieces(text) for text in set(texts))))
        self._new = {old: new for new, old in enumerate(self.kept)}
        self.begin, self.end = self._new[whole.begin], self._new[whole.end]

    def pieces(self, text: str) -> list[int]:
        """New ids of a text, all of whose tokens were kept."""
        return [self._new[one] for one in self.whole.pieces(text)]

    def text(self, ids: Sequence[int]) -> str:
        """Text of new ids."""
        return self.whole.text([self.kept[one] for one in ids])


def build_vlm(
    predictor: PredictorConfig,
    *,
    vision_width: int,
    visual_tokens: int,
    texts: Sequence[str],
    generation: GenerationConfig,
) -> tuple[TokenVLM, DecoderTokenizer]:
    """The opponent at the start of its training, on our Predictor's slice, and its tokenizer, for `texts` alone."""
    slice_ = predictor.part
    folder = part_folder(slice_)
    architecture = {**part_config(slice_), "attention_dropout": predictor.dropout}
    config = YDecoderConfig(
        part=PartSpec.model_validate({**slice_.model_dump(), "config": architecture}),
        embed_dim=vision_width,
        prefix_tokens=visual_tokens,
        dropout=predictor.dropout,
        generation=generation,
    )
    vlm = TokenVLM(config)
    vlm.load_pretrained(folder)
    whole = DecoderTokenizer.of(config, vocabulary=None)
    cut = CutVocabulary(whole.vocabulary, [normalise_text(text) for text in texts])
    vlm.keep_vocabulary(cut.kept, begin=cut.begin, end=cut.end)
    return vlm, DecoderTokenizer(cut, lowercase=config.lowercase)
