"""The opponent: a vision-language model that writes tokens, from the LM slice that the Predictor starts from.

Shapes: B pictures, N visual tokens of width D, C candidates, T tokens of all candidates, S = N + T, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vljepa.configs import PartSpec, PredictorConfig, YDecoderConfig
from vljepa.configs.decoder import GenerationConfig
from vljepa.models.y_decoder import YDecoder
from vljepa.parts.resolve import part_config, part_folder
from vljepa.processing.text import normalise_text
from vljepa.processing.words import DecoderTokenizer, Vocabulary

PICTURES_PER_FORWARD = 4


class TokenVLM(YDecoder):
    """Visual tokens, projected one by one, in front of a causal language model; all of it is trained.

    Loss and generation are the Y-Decoder's: the projected tokens stand where its prefix does.

    Args:
        config: `part` is the LM slice, `embed_dim` the width of a visual token, `prefix_tokens` their number.
    """

    def __init__(self, config: YDecoderConfig) -> None:
        super().__init__(config)
        self.vision_norm = nn.LayerNorm(config.embed_dim)
        self.prefix = nn.Linear(config.embed_dim, int(self.lm.config.hidden_size))
        self.dropout = nn.Dropout(config.dropout)
        self.requires_grad_(True)

    def condition(self, embeddings_BD: Tensor) -> Tensor:
        """Visual tokens [B, N, D] in the language model's width."""
        projected: Tensor = self.prefix(self.vision_norm(embeddings_BD.to(self.prefix.weight.dtype)))
        return projected

    def keep_vocabulary(self, kept: Sequence[int], *, begin: int, end: int) -> None:
        """Cut word embeddings and LM head, which are one matrix, to some tokens.

        Args:
            kept: Ids that stay, in the order of their new ids.
            begin: New id of the token that starts a text.
            end: New id of the token that ends a text.
        """
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
        """Mean log-likelihood per token, the end mark included, of every candidate for every picture: fp32 [B, C].

        All candidates of a picture go through in one sequence, hidden from each other.

        Args:
            tokens_BND: Visual tokens.
            rows: Ids of each candidate from begin to end mark.
        """
        packed = pack(rows, prefix=tokens_BND.shape[1])
        lengths_C = torch.bincount(packed.owner_T, minlength=len(rows))
        found = []
        for chunk_BND in tokens_BND.split(PICTURES_PER_FORWARD):
            size = len(chunk_BND)
            words_BTE = self.lm.get_input_embeddings()(packed.ids_T).expand(size, -1, -1)
            sequence_BSE = torch.cat([self.condition(chunk_BND).to(words_BTE.dtype), words_BTE], dim=1)
            lowest = torch.finfo(sequence_BSE.dtype).min
            mask_SS = torch.zeros(packed.sees_SS.shape, dtype=sequence_BSE.dtype).masked_fill(~packed.sees_SS, lowest)
            logits_BTV = self.lm(
                inputs_embeds=sequence_BSE,
                attention_mask=mask_SS.expand(size, 1, -1, -1),
                position_ids=packed.positions_S.expand(size, -1),
                logits_to_keep=len(packed.ids_T),
                use_cache=False,
            ).logits
            likelihood_BT = -nn.functional.cross_entropy(
                logits_BTV.float().flatten(0, 1), packed.targets_T.repeat(size), reduction="none"
            ).view(size, -1)
            sums_BC = torch.zeros(size, len(rows)).index_add_(1, packed.owner_T, likelihood_BT)
            found.append(sums_BC / lengths_C)
        return torch.cat(found)


class Packed(NamedTuple):
    """Candidates one after the other.

    Args:
        ids_T: What is read.
        targets_T: What is to come next.
        owner_T: Number of the candidate.
        positions_S: Position of every token, each candidate's after the visual ones.
        sees_SS: Whether a token (row) sees another: the visual ones and its own candidate's, before it and itself.
    """

    ids_T: Tensor
    targets_T: Tensor
    owner_T: Tensor
    positions_S: Tensor
    sees_SS: Tensor


def pack(rows: Sequence[Sequence[int]], *, prefix: int) -> Packed:
    """One sequence of all candidates, behind `prefix` visual tokens."""
    owner_T = torch.tensor([number for number, row in enumerate(rows) for _ in row[1:]])
    owner_S = torch.cat([torch.full((prefix,), -1), owner_T])
    order_S = torch.arange(len(owner_S))
    own_SS = (owner_S[None] == -1) | (owner_S[None] == owner_S[:, None])
    places = [prefix + place for row in rows for place in range(len(row) - 1)]
    return Packed(
        ids_T=torch.tensor([one for row in rows for one in row[:-1]]),
        targets_T=torch.tensor([one for row in rows for one in row[1:]]),
        owner_T=owner_T,
        positions_S=torch.cat([torch.arange(prefix), torch.tensor(places)]),
        sees_SS=own_SS & (order_S[None] <= order_S[:, None]),
    )


class CutVocabulary:
    """A vocabulary of which some tokens are left, renumbered.

    Args:
        whole: The vocabulary.
        texts: What it must be able to write, in the normal form that the tokenizer makes of them.
    """

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
    """The opponent at the start of its training, and its tokenizer.

    Args:
        predictor: Of our arm: the slice and the dropout.
        vision_width: Size of a visual token.
        visual_tokens: Their number per picture.
        texts: All texts that it learns from or is asked to score.
        generation: How it writes.
    """
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
