"""A text transformer by its config: a slice of its layers as the start of the Predictor, or the whole of it."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends.weights import load_exactly, transformers_state
from vljepa.configs import Attention, PartSpec
from vljepa.errors import PartError

_LAYER_KEY = re.compile(r"(^|\.)(layers?|h|blocks)\.(\d+)\.")
UNBOUNDED = 10**9
"""Positions, or length of a text, where there is no limit; tokenizers state a larger number for it."""
_DROPOUT_KEYS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout", "embedding_dropout")


class TransformersText(nn.Module):
    """Any text model of `transformers.AutoModel`, built from its config alone.

    Args:
        spec: Part with `config` filled in; `layers` keeps a slice.
        dropout: Overrides the config's dropout rates when given.
        keep_pooler: Keep BERT-style pooler weights; without, they would be parameters that no gradient reaches.
        fresh: Start the layers anew, from torch's own generator, and load the word and position embeddings alone.

    Raises:
        PartError: transformers has no text model of that type.
    """

    def __init__(
        self, spec: PartSpec, *, dropout: float | None = None, keep_pooler: bool = False, fresh: bool = False
    ) -> None:
        super().__init__()
        self.spec = spec
        self.fresh = fresh
        self.keep_pooler = keep_pooler
        config = text_config(spec)
        if dropout is not None:
            for key in _DROPOUT_KEYS:
                if hasattr(config, key):
                    setattr(config, key, dropout)
        with torch.random.fork_rng(devices=[], enabled=not fresh):
            if not fresh:
                torch.manual_seed(spec.seed)
            self.model = text_model(spec, config)
        if not keep_pooler and getattr(self.model, "pooler", None) is not None:
            self.model.pooler = None
        self.first_position = first_position(self.model)
        self.max_positions = usable_positions(self.model)
        """Longest sequence that the positions allow."""
        # MPNet and T5 count distances by the places in the tensor, whatever the position ids say.
        self._counts_places = any("relative_attention_bias" in name for name, _ in self.model.named_modules())

    @property
    def width(self) -> int:
        """Size of a token."""
        return int(self.model.config.hidden_size)

    def embed(self, ids_BL: Tensor) -> Tensor:
        """Word embeddings [B, L, width], before positions."""
        embedded: Tensor = self.model.get_input_embeddings()(ids_BL)
        return embedded

    def encode(self, ids_BL: Tensor, mask_BL: Tensor) -> Any:
        """Output of the class itself under its own attention pattern."""
        return self.model(input_ids=ids_BL, attention_mask=mask_BL.long(), **self._no_cache())

    def encode_embeddings(
        self, embeddings_BLD: Tensor, mask_BL: Tensor, *, attention: Attention, blocks_L: Tensor | None = None
    ) -> Tensor:
        """Run the layers on ready embeddings, [B, L, width].

        Under `full` attention every valid token sees every valid token; under `causal` itself and those before it;
        under `block_causal` those of its own block and of the blocks before. Each holds whatever the class does by
        default: a 4-D mask passes through transformers' mask functions as it is, under sdpa and eager alike. Positions
        count valid tokens only, so padding moves nothing; RoBERTa and its kind begin after the row of their padding.

        Args:
            embeddings_BLD: The sequence.
            mask_BL: True where a token is real.
            attention: Which tokens see which.
            blocks_L: Number of each token's block, for `block_causal`.
        """
        length = embeddings_BLD.shape[1]
        if length > self.max_positions:
            raise PartError(
                f"{self.spec} has {self.max_positions} positions, the sequence has {length} tokens.",
                fix="set x_encoder.pool_grid, use fewer frames, or choose a part with more positions.",
            )
        if attention == "causal":
            blocks_L = torch.arange(length, device=mask_BL.device)
        blocks_BL = None if attention == "full" or blocks_L is None else blocks_L.expand(len(mask_BL), -1)
        assert (blocks_BL is None) == (attention == "full"), attention
        if not self._counts_places:
            return self._run(embeddings_BLD, mask_BL, blocks_BL)
        order_BL = mask_BL.long().argsort(dim=1, descending=True, stable=True)
        packed = embeddings_BLD.gather(1, order_BL.unsqueeze(-1).expand_as(embeddings_BLD))
        packed_blocks = None if blocks_BL is None else blocks_BL.gather(1, order_BL)
        hidden = self._run(packed, mask_BL.gather(1, order_BL), packed_blocks)
        return torch.zeros_like(hidden).scatter(1, order_BL.unsqueeze(-1).expand_as(hidden), hidden)

    def _run(self, embeddings_BLD: Tensor, mask_BL: Tensor, blocks_BL: Tensor | None) -> Tensor:
        positions_BL = (mask_BL.long().cumsum(1) - 1).clamp(min=0) + self.first_position
        mask = attention_mask(mask_BL, embeddings_BLD.dtype, blocks_BL=blocks_BL)
        output = self.model(
            inputs_embeds=embeddings_BLD, attention_mask=mask, position_ids=positions_BL, **self._no_cache()
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def embedding_names(self) -> set[str]:
        """Names of the parameters that are tables over the vocabulary, positions or segments."""
        return {f"model.{name}" for name in embedding_names(self.model)}

    def load_pretrained(self, folder: Path) -> None:
        """Load the part's weights, sliced to the layers that are kept; only the embeddings when `fresh`."""
        state = text_state(type(self.model), self.spec, folder, pooler=self.keep_pooler)
        if self.fresh:
            embeddings = {name: state[name] for name in embedding_names(self.model)}
            state = self.model.state_dict() | embeddings
        load_exactly(self.model, state, part=str(self.spec), folder=folder)

    def _no_cache(self) -> dict[str, bool]:
        return {"use_cache": False} if hasattr(self.model.config, "use_cache") else {}


def attention_mask(mask_BL: Tensor, dtype: torch.dtype, *, blocks_BL: Tensor | None) -> Tensor:
    """Additive mask [B, 1, L, L]: 0 where the key is valid and of no later block, else the lowest number."""
    length, lowest = mask_BL.shape[1], torch.finfo(dtype).min
    additive = torch.zeros(mask_BL.shape, dtype=dtype, device=mask_BL.device)
    additive = additive.masked_fill(~mask_BL.bool(), lowest)[:, None, None, :].expand(-1, 1, length, -1)
    if blocks_BL is None:
        return additive  # a view: all rows are one
    later_BLL = blocks_BL[:, None, :] > blocks_BL[:, :, None]
    return additive.masked_fill(later_BLL.unsqueeze(1), lowest)


def embedding_names(model: nn.Module) -> set[str]:
    """Names of the parameters that are tables over the vocabulary, positions or segments.

    They are told by their module, since names differ: `embed_tokens`, `wte`, `word_embeddings`. The relative positions
    of MPNet and T5 are a table too, but part of the attention.
    """
    return {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and "relative_attention_bias" not in name
    }


def first_position(model: nn.Module) -> int:
    """Row of the first token in a table of positions: RoBERTa, XLM-R and MPNet keep those up to their padding free."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.endswith("position_embeddings") and module.padding_idx is not None:
            return int(module.padding_idx) + 1
    return 0


def usable_positions(model: Any) -> int:
    """Longest sequence that a text model's positions allow."""
    return stated_positions(model.config) - first_position(model)


def stated_positions(config: Any) -> int:
    """Positions that a text model's config states; UNBOUNDED where it has no limit (XLNet states -1)."""
    stated = getattr(config, "max_position_embeddings", None) or 0
    return int(stated) if stated > 0 else UNBOUNDED


def text_model(spec: PartSpec, config: Any) -> Any:
    """Transformers' text model of a config, with fresh weights.

    Raises:
        PartError: There is none of that type.
    """
    from transformers import AutoModel

    try:
        return AutoModel.from_config(config, dtype=torch.float32)
    except (ValueError, KeyError) as error:
        raise _no_text_model(spec, config) from error


def _no_text_model(spec: PartSpec, config: Any) -> PartError:
    return PartError(
        f"{spec} is of type {config.model_type!r}, of which transformers has no text model by itself.",
        fix="name a text model, such as transformers:sentence-transformers/all-MiniLM-L6-v2.",
    )


def architecture(spec: PartSpec, raw: dict[str, Any]) -> Any:
    """Transformers' config object of a config.json.

    Raises:
        PartError: It names no model type, or one that this transformers does not know.
    """
    import transformers

    try:
        return transformers.AutoConfig.for_model(**copy.deepcopy(raw))
    except (TypeError, ValueError, KeyError) as error:
        raise PartError(
            f"transformers {transformers.__version__} cannot read the config of {spec} "
            f"(model_type {raw.get('model_type')!r}): {str(error).splitlines()[0]}",
            fix="check the part's name, or install a newer transformers.",
        ) from error


def text_config(spec: PartSpec, *, whole: bool = False) -> Any:
    """Transformers' config of a resolved text part, cut to the layers that are kept unless `whole`."""
    assert spec.config is not None, f"{spec} has no config: resolve the part first"
    if spec.backend != "transformers":
        raise PartError(
            f"{spec} is no text transformer: {spec.backend} brings none that can be cut into layers.",
            fix="name one of transformers, such as transformers:HuggingFaceTB/SmolLM2-135M#22:30.",
        )
    raw = copy.deepcopy(spec.config)
    raw = {**raw, **raw.pop("text_config")} if "text_config" in raw else raw
    config = architecture(spec, raw)
    if not hasattr(config, "vocab_size"):
        raise _no_text_model(spec, config)
    if getattr(config, "is_encoder_decoder", False):
        raise PartError(
            f"{spec} is an encoder with a decoder ({config.model_type}), of which vljepa uses neither alone.",
            fix="name a model of one stack, such as transformers:sentence-transformers/all-MiniLM-L6-v2.",
        )
    if config.model_type.endswith("_text_model"):
        raise PartError(
            f"{spec} is one tower of a dual encoder ({config.model_type}).",
            fix="name the whole model, such as transformers:openai/clip-vit-base-patch32: its text tower is taken.",
        )
    if spec.layers is not None and not whole:
        first, last = spec.layers
        if last > config.num_hidden_layers:
            raise PartError(
                f"{spec} asks for layers {first}:{last}, the model has {config.num_hidden_layers}.",
                fix=f"choose a range within 0:{config.num_hidden_layers}.",
            )
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[first:last]
        config.num_hidden_layers = last - first
    return config


def text_state(cls: Any, spec: PartSpec, folder: Path, *, pooler: bool = False) -> dict[str, Tensor]:
    """Tensors of a transformers class from a text part's files, cut to the layers that are kept."""
    state = transformers_state(cls, folder, text_config(spec, whole=True), pooler=pooler)
    return state if spec.layers is None else _slice_layers(state, spec.layers)


def _slice_layers(state: dict[str, Tensor], layers: tuple[int, int]) -> dict[str, Tensor]:
    """Keep layers first..last-1 and renumber them from 0; everything outside the stack stays."""
    first, last = layers
    kept: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = _LAYER_KEY.search(key)
        if match is None:
            kept[key] = tensor
        elif first <= int(match[3]) < last:
            start, end = match.span(3)
            kept[f"{key[:start]}{int(match[3]) - first}{key[end:]}"] = tensor
    return kept
