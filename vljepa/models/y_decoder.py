"""The Y-Decoder: an embedding of the shared space back to words, only when words are needed.

The paper does not describe its decoder. Ours is a prefix in front of a causal language model: a linear map turns the
embedding into a few tokens, and the text follows them. It is trained on text alone (`training/decoder.py`).

A decoder with entities also reads names of what the encoder sees, each behind a token with its probability, so that it
can name what no training text of its own has shown together with such an embedding. Source of the idea: ViECap (Fei et
al., Transferable Decoding with Visual Entities, arXiv 2307.16525).

Shapes: B rows, D width of the shared space, P prefix tokens, N entities, M tokens of a name, L text tokens, E width of
the language model, K names.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.backends.text_layers import text_config, text_state
from vljepa.backends.weights import load_exactly
from vljepa.configs.decoder import YDecoderConfig
from vljepa.models.causal_lm import causal_lm, generation_options
from vljepa.models.decoder_knowledge import READING, UNTOLD, DecoderKnowledge
from vljepa.models.lora import add_lora, to_four_bits
from vljepa.models.types import Entities

_LEAST_STRENGTH = 1e-4


class YDecoder(DecoderKnowledge):
    """A causal language model conditioned on one embedding, and on names of what the encoder sees.

    Args:
        config: What it is made of; the part's architecture `config` must be filled in.
        vocabulary: The sentencepiece model of a decoder from scratch, serialised; it is saved with the weights.
    """

    def __init__(self, config: YDecoderConfig, *, vocabulary: bytes | None = None) -> None:
        super().__init__(config)
        self.vocabulary = vocabulary
        self.tokenizer: Path | None = None
        """Folder of the part's tokenizer, where the decoder was saved whole."""
        self.lm = causal_lm(config)
        width = int(self.lm.config.hidden_size)
        # Word embeddings start this small; a unit embedding has entries of about D ** -0.5.
        small = partial(_small_linear, std=float(self.lm.config.initializer_range), seed=config.part.seed)
        self.prefix = small(self.width, config.prefix_tokens * width)
        self.dropout = nn.Dropout(config.dropout if config.part.source == "random" else 0.0)
        self.strength: nn.Linear | None = None
        if config.entities is not None:
            self.strength = small(2, width)
        if config.part.source != "random":
            self.lm.requires_grad_(False)
        if config.lora is not None:
            self.lm = add_lora(self.lm, config.lora, seed=config.part.seed)

    @property
    def begin(self) -> int:
        """Id of the token that starts a text."""
        return int(self.lm.config.bos_token_id)

    @property
    def end(self) -> int:
        """Id of the token that ends a text."""
        return int(self.lm.config.eos_token_id)

    def load_pretrained(self, folder: Path) -> None:
        """Load the language model's own weights; adapters and prefix stay as they are."""
        from transformers import AutoModelForCausalLM

        whole = AutoModelForCausalLM.from_config(text_config(self.config.part), dtype=torch.float32)
        state = text_state(type(whole), self.config.part, folder)
        load_exactly(whole, state, part=str(self.config.part), folder=folder)
        self._fill(whole.state_dict())

    def take(self, other: YDecoder) -> None:
        """Take all weights of a decoder of the same architecture that has no adapters; those of this one stay."""
        self._fill(other.lm.state_dict())
        rest = {name: tensor for name, tensor in other.state_dict().items() if not name.startswith("lm.")}
        if other.phrases:
            self.set_phrases(other.phrases, other.phrases_PD)
        if other.config.drawings:
            self.set_drawings(other.drawings_K)
        self.load_state_dict({name: one for name, one in rest.items() if name not in READING}, strict=False)

    @torch.no_grad()
    def _fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Fill the language model from tensors under its own names, whether it is adapted or not."""
        model: Any = self.lm
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        own = {name.replace(".base_layer.", "."): tensor for name, tensor in base.state_dict(keep_vars=True).items()}
        for name, tensor in tensors.items():
            own[name].copy_(tensor)

    def to_four_bits(self) -> Self:
        """Hold the adapted matrices of the language model in 4 bits, for a training; a loaded decoder has them whole.

        Raises:
            ConfigError: The package for it is missing.
        """
        layers = [name for name, _ in self.lm.named_modules() if name.endswith(".base_layer")]
        to_four_bits(self.lm, layers)
        return self

    def unfreeze(self) -> Self:
        """Let gradients into what is trained: the prefix and the adapters, or everything of a model from scratch."""
        whole = self.config.part.source == "random" and self.config.lora is None
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(whole or name.startswith(("prefix.", "strength.")) or "lora_" in name)
        return self

    def frozen_keys(self) -> set[str]:
        """Names of the tensors that the part's own files determine; a save leaves them out."""
        if self.config.part.source == "random":
            return set()
        return {name for name in self.state_dict() if name.startswith("lm.") and "lora_" not in name}

    def tied_keys(self) -> set[str]:
        """Names of tensors that are another name of an earlier one, such as an output layer of tied embeddings."""
        seen: dict[int, str] = {}
        return {name for name, tensor in self.state_dict().items() if seen.setdefault(tensor.data_ptr(), name) != name}

    def condition(self, embeddings_BD: Tensor) -> Tensor:
        """Prefix tokens [B, P, E] of embeddings of unit norm."""
        scaled_BD = embeddings_BD.to(self.prefix.weight.dtype) * self.width**0.5
        prefix_BPE: Tensor = self.prefix(scaled_BD).unflatten(1, (self.config.prefix_tokens, -1))
        return prefix_BPE

    def _context(self, embeddings_BD: Tensor, entities: Entities | None) -> tuple[Tensor, Tensor]:
        """What stands before a text, [B, P + N (1 + M), E], and where it is real."""
        prefix_BPE = self.condition(embeddings_BD)
        mask_BP = prefix_BPE.new_ones(prefix_BPE.shape[:2], dtype=torch.bool)
        if entities is None or self.strength is None:
            return prefix_BPE, mask_BP
        strengths_BN1 = entities.strengths_BN.to(prefix_BPE.dtype).unsqueeze(-1)
        ids_BNM = self.names_KM[entities.numbers_BN]
        marks_BNE = self.strength(torch.cat([strengths_BN1, strengths_BN1.clamp(min=_LEAST_STRENGTH).log()], dim=-1))
        names_BNME = self._embed(ids_BNM.clamp(min=0)).to(prefix_BPE.dtype)
        told_BNSE = torch.cat([marks_BNE.unsqueeze(2), names_BNME], dim=2)
        mask_BNS = torch.cat([torch.ones_like(ids_BNM[..., :1], dtype=torch.bool), ids_BNM != UNTOLD], dim=2)
        mask_BNS = mask_BNS & (strengths_BN1 > 0)
        return torch.cat([prefix_BPE, told_BNSE.flatten(1, 2)], dim=1), torch.cat([mask_BP, mask_BNS.flatten(1)], dim=1)

    def _logits(
        self, embeddings_BD: Tensor, ids_BL: Tensor, mask_BL: Tensor, entities: Entities | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, L - 1, V] of the tokens after the first, those tokens, and where they are real."""
        context, told = self._context(embeddings_BD, entities)
        words_BLE = self._embed(ids_BL[:, :-1])
        sequence = torch.cat([context.to(words_BLE.dtype), words_BLE], dim=1)
        seen = torch.cat([told, mask_BL[:, :-1].bool()], dim=1)
        logits = self.lm(
            inputs_embeds=self.dropout(sequence),
            attention_mask=seen.long(),
            position_ids=_positions(seen),
            use_cache=False,
            logits_to_keep=words_BLE.shape[1],  # most of the work of a small model is its output layer
        ).logits
        return logits, ids_BL[:, 1:], mask_BL[:, 1:].bool()

    def forward(
        self, embeddings_BD: Tensor, ids_BL: Tensor, mask_BL: Tensor, entities: Entities | None = None
    ) -> Tensor:
        """Negative log-likelihood per token, the end mark included: a scalar, mean over all tokens.

        Args:
            embeddings_BD: What the texts are to be read from.
            ids_BL: Texts from begin to end mark, right-padded.
            mask_BL: True on real tokens. What is padding is known by place, not by id: some vocabularies pad with
                the end mark, and a model that never learns to end runs on to the limit.
            entities: Names of what the encoder sees; None tells none.
        """
        logits, ids, wanted = self._logits(embeddings_BD, ids_BL, mask_BL, entities)
        return F.cross_entropy(logits[wanted].float(), ids[wanted])

    @torch.inference_mode()
    def log_likelihood(
        self,
        embeddings_BD: Tensor,
        ids_BL: Tensor,
        mask_BL: Tensor,
        entities: Entities | None = None,
        *,
        shift: bool = False,
    ) -> Tensor:
        """Mean log-probability of the tokens of each text, the end mark included: fp32 [B].

        Args:
            embeddings_BD: As of `forward`, as are the texts and the entities.
            ids_BL: Texts.
            mask_BL: True on real tokens.
            entities: Names.
            shift: As of `generate`.
        """
        embeddings_BD = self.moved(embeddings_BD) if shift else embeddings_BD
        logits, ids, wanted = self._logits(embeddings_BD, ids_BL, mask_BL, entities)
        of_tokens = logits.float().log_softmax(-1).gather(2, ids.unsqueeze(-1)).squeeze(-1) * wanted
        return of_tokens.sum(1) / wanted.sum(1)

    @torch.inference_mode()
    def generate(
        self,
        embeddings_BD: Tensor,
        *,
        entities: Entities | None = None,
        num_beams: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        repetition_penalty: float | None = None,
        max_new_tokens: int | None = None,
        seed: int = 0,
        shift: bool = True,
        candidates: int = 1,
    ) -> Tensor:
        """Texts for embeddings, batched, with a key-value cache.

        Args:
            embeddings_BD: [B, D], unit norm.
            entities: Names of what the encoder sees; None tells none.
            num_beams: Beams; 1 is greedy. None takes the config's number, as for all that follow.
            top_p: Draw from the smallest set of tokens with this probability, instead of taking the likeliest.
            temperature: Of the draw.
            repetition_penalty: Above 1 makes said tokens less likely.
            max_new_tokens: Limit, the end mark included.
            seed: Of the draw: equal seeds give equal texts.
            shift: Move the embeddings by the mean gap between predicted captions and real ones. Right for predictions
                without a query; not for embeddings of texts, nor for answers.
            candidates: Texts per embedding: the best beams, at most all, or so many draws; greedy knows one.

        Returns:
            Ids [B x candidates, L], those of an embedding together, the best first; right-padded; a text that ended
            holds the end mark.

        Raises:
            ConfigError: An option is outside of its range.
        """
        defaults = self.config.generation
        options = generation_options(
            num_beams=defaults.num_beams if num_beams is None else num_beams,
            top_p=top_p,
            temperature=temperature,
            repetition_penalty=defaults.repetition_penalty if repetition_penalty is None else repetition_penalty,
            max_new_tokens=defaults.max_new_tokens if max_new_tokens is None else max_new_tokens,
            length_penalty=defaults.length_penalty,
        )
        if len(embeddings_BD) == 0:
            return torch.zeros(0, 0, dtype=torch.long, device=embeddings_BD.device)
        if not options["do_sample"]:
            candidates = min(candidates, options["num_beams"])
        embeddings_BD = self.moved(embeddings_BD) if shift else embeddings_BD
        begin_B1 = torch.full((len(embeddings_BD), 1), self.begin, device=embeddings_BD.device)
        words = self._embed(begin_B1)
        context, told = self._context(embeddings_BD, entities)
        sequence = torch.cat([context.to(words.dtype), words], dim=1)
        seen = torch.cat([told, torch.ones_like(begin_B1, dtype=torch.bool)], dim=1)
        devices = [embeddings_BD.device] if embeddings_BD.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
            torch.manual_seed(seed)
            # What is said counts as a repetition, the prefix does not: just as wanted.
            warnings.filterwarnings("ignore", message="Passing `repetition_penalty` with `inputs_embeds`")
            ids: Tensor = self.lm.generate(
                inputs_embeds=sequence,
                attention_mask=seen.long(),
                eos_token_id=self.end,
                pad_token_id=self.end,
                num_return_sequences=candidates,
                **options,
            )
        return ids

    def _embed(self, ids_BL: Tensor) -> Tensor:
        embedded: Tensor = self.lm.get_input_embeddings()(ids_BL)
        return embedded


def _small_linear(inputs: int, outputs: int, *, std: float, seed: int) -> nn.Linear:
    """A linear layer that is drawn from its seed; what else is drawn in the process does not move by it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = nn.Linear(inputs, outputs)
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
    return layer


def _positions(seen_BS: Tensor) -> Tensor:
    """Position of every token among the real ones, as `generate` counts them."""
    return (seen_BS.long().cumsum(-1) - 1).clamp(min=0)
