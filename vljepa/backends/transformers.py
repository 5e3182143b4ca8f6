"""transformers: vision and text models, with the preprocessing, tokenizers, pooling and prompts of their own files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends.bytes import ByteTokenizer
from vljepa.backends.dual_encoders import DualText, DualVision, is_dual, reads_padding
from vljepa.backends.pooling import pool_text
from vljepa.backends.protocols import Contrast, TextFacts, TextTower, Tokenizer, VisionTower
from vljepa.backends.sentence_transformers import LENGTH_FILE, dense_state, lowers_texts, read_sentence_model
from vljepa.backends.text_layers import (
    UNBOUNDED,
    TransformersText,
    architecture,
    stated_positions,
    text_config,
    text_model,
    usable_positions,
)
from vljepa.backends.transformers_vision import TransformersVision, image_fields, tubelet, vision_config
from vljepa.backends.weights import load_exactly, read_contrast
from vljepa.configs import DenseConfig, PartSpec, YEncoderConfig
from vljepa.errors import ConfigError, PartError
from vljepa.parts.folders import read_object

_ACTIVATIONS = {"identity": nn.Identity, "tanh": nn.Tanh, "gelu": nn.GELU, "relu": nn.ReLU}


class SentenceText(TransformersText):
    """A text model with a pooling, and the dense layers that come after it.

    Args:
        config: Of the Y-Encoder; `pooling` and `dense` are resolved.
    """

    def __init__(self, config: YEncoderConfig) -> None:
        super().__init__(config.part, keep_pooler=config.pooling == "pooler")
        assert config.pooling is not None
        self.pooling = config.pooling
        if self.pooling == "pooler" and getattr(self.model, "pooler", None) is None:
            raise ConfigError(
                f"y_encoder.pooling = 'pooler', but {config.part} has no pooler.", fix="set mean, cls or last."
            )
        self.dense_config: list[DenseConfig] = list(config.dense or [])
        self.dense = nn.ModuleList(
            nn.Linear(one.in_features, one.out_features, bias=one.bias) for one in self.dense_config
        )

    @property
    def width(self) -> int:
        """Size of a feature."""
        return self.dense_config[-1].out_features if self.dense_config else super().width

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """See `TextTower`."""
        output = self.encode(ids_BL, mask_BL)
        if self.pooling == "pooler":
            features: Tensor = output.pooler_output
        else:
            features = pool_text(output.last_hidden_state, mask_BL, how=self.pooling)
        for config, layer in zip(self.dense_config, self.dense, strict=True):
            features = _ACTIVATIONS[config.activation]()(layer(features))
        return features

    def load_pretrained(self, folder: Path) -> None:
        """See `TextTower`."""
        super().load_pretrained(folder)
        if self.dense_config:
            load_exactly(self.dense, dense_state(self.spec, folder), part=str(self.spec), folder=folder)


class TransformersTokenizer:
    """Tokenizer of a transformers part.

    A tower that reads its padding (SigLIP), or whose tokenizer gives no attention mask, always gets its whole context,
    padded on the tokenizer's own side. All others are padded on the right to the longest text of the batch, which their
    mask makes the same.

    Args:
        folder: With the tokenizer's files.
        positions: Longest text that the model itself allows.
        reads_padding: Whether the tower was trained without a mask.
        lower: Lower the texts first, as sentence-transformers' `do_lower_case` asks.
    """

    def __init__(self, folder: Path, *, positions: int, reads_padding: bool = False, lower: bool = False) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.reads_padding = reads_padding or "attention_mask" not in self.tokenizer.model_input_names
        self.lower = lower
        self.context = min(int(self.tokenizer.model_max_length), positions)
        if not self.reads_padding:
            self.tokenizer.padding_side = "right"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """See `Tokenizer`; longer texts are cut at the model's own context, too."""
        whole = self.reads_padding
        out = self.tokenizer(
            self._filled(texts),
            padding="max_length" if whole else True,
            truncation=True,
            max_length=self.context if whole else min(max_tokens, self.context),
            return_attention_mask=True,
            return_tensors="pt",
        )
        ids: Tensor = out["input_ids"].long()
        mask = torch.ones_like(ids) if self.reads_padding else out["attention_mask"]
        return ids, mask.bool()

    def _filled(self, texts: Sequence[str]) -> list[str]:
        """A tokenizer without begin mark (GPT-2) makes no token of an empty text: it gets the end mark."""
        texts = [text.lower() for text in texts] if self.lower else texts
        if not all(texts) and not self.tokenizer("")["input_ids"]:
            return [text or self.tokenizer.eos_token for text in texts]
        return list(texts)


class TransformersBackend:
    """See `Backend`."""

    config_file = "config.json"
    fixed_length = False
    tokenizer_files = (
        "config.json",
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.*",
        "merges.txt",
        "*.model",
        "chat_template.jinja",
        LENGTH_FILE,
    )
    files = (
        "*.json",
        "model*.safetensors",
        "*.txt",
        "*.model",
        "*.jinja",
        "[0-9]*_*/config.json",
        "[0-9]*_*/model.safetensors",
    )

    def repository(self, name: str) -> str:
        """The name itself."""
        return name

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        """From preprocessor_config.json and its kind; a random part has none and takes what most have."""
        return {} if folder is None else image_fields(part, folder)

    def least_frames(self, part: PartSpec) -> int:
        """One tubelet."""
        return tubelet(vision_config(part)[0])

    def vision_tower(self, part: PartSpec) -> VisionTower:
        """See `Backend`."""
        return DualVision(part) if is_dual(part) else TransformersVision(part)

    def contrast(self, part: PartSpec, folder: Path | None) -> Contrast | None:
        """From the weights of a dual encoder."""
        return read_contrast(folder) if folder is not None and is_dual(part) else None

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        """From sentence-transformers' files where there are some, else the class's own habit."""
        if is_dual(part):
            return TextFacts(pooling="pooler", max_tokens=min(_dual_positions(part), _stated_length(folder)))
        positions = _positions(part)
        length = min(positions, _stated_length(folder))
        sentence = None if folder is None else read_sentence_model(part, folder)
        if sentence is not None:
            return TextFacts(
                pooling=sentence.pooling,
                max_tokens=min(length, sentence.max_tokens or length),
                prefix=sentence.prefix,
                dense=sentence.dense,
            )
        return TextFacts(pooling="last" if folder is not None and _is_causal(part) else "mean", max_tokens=length)

    def text_tower(self, config: YEncoderConfig) -> TextTower:
        """See `Backend`."""
        if not is_dual(config.part):
            return SentenceText(config)
        if config.pooling != "pooler":
            raise ConfigError(
                f"y_encoder.pooling = {config.pooling!r}, but the text towers of dual encoders pool by themselves.",
                fix="set y_encoder.pooling=pooler.",
            )
        return DualText(config.part)

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Tokenizer:
        """Transformers' own, from the folder; bytes for a random part."""
        if folder is None:
            return ByteTokenizer()
        if part.config is None:
            part = part.model_copy(update={"config": read_object(part, folder / self.config_file)})
        positions = _dual_positions(part) if is_dual(part) else _positions(part)
        try:
            return TransformersTokenizer(
                folder,
                positions=positions,
                reads_padding=reads_padding(part),
                lower=lowers_texts(part, folder),
            )
        except (OSError, ValueError, KeyError) as error:
            raise PartError(
                f"{folder} has no tokenizer for {part}: {str(error).splitlines()[0]}",
                fix="put the tokenizer's files (tokenizer.json, tokenizer_config.json) there.",
            ) from error


def _is_causal(part: PartSpec) -> bool:
    """Whether a token sees only what is before it, so that the last one has seen all of the text."""
    config = text_config(part)
    if getattr(config, "use_bidirectional_attention", False):
        return False
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    return type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and type(config) not in MODEL_FOR_MASKED_LM_MAPPING


def _positions(part: PartSpec) -> int:
    with torch.device("meta"):
        return usable_positions(text_model(part, text_config(part)))


def _dual_positions(part: PartSpec) -> int:
    return stated_positions(architecture(part, part.config or {}).text_config)


def _stated_length(folder: Path | None) -> int:
    """Longest text that tokenizer_config.json states."""
    file = None if folder is None else folder / "tokenizer_config.json"
    if file is None or not file.is_file():
        return UNBOUNDED
    try:
        return int(min(json.loads(file.read_text(encoding="utf-8")).get("model_max_length") or UNBOUNDED, UNBOUNDED))
    except (ValueError, AttributeError, TypeError):
        return UNBOUNDED
