"""A VL-JEPA as a module of sentence-transformers: texts and images in, embeddings of one space out.

A folder of `vljepa export --format sentence-transformers` names the class below. That library imports classes of other
packages only with `trust_remote_code=True`; no code of the folder itself is run, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.inference.clips import VisualReader
from vljepa.models.types import Tokens
from vljepa.processing.processor import VLJEPAProcessor


class VLJEPAModule(InputModule):
    """Texts by the Y-Encoder; images, and videos for a model that takes clips, by the Predictor under no question.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
    """

    def __init__(self, model: VLJEPA, processor: VLJEPAProcessor) -> None:
        super().__init__()
        self.model = model.eval()
        self.processor = processor
        self.read = VisualReader(processor, clips=model.config.clips)

    @property
    def modalities(self) -> list[Any]:
        """See `InputModule`."""
        return ["text", "image", *(["video"] if self.model.config.clips is not None else [])]

    @property
    def max_seq_length(self) -> int | None:
        """Tokens of a text at most."""
        return self.model.config.y_encoder.max_tokens

    def get_embedding_dimension(self) -> int:
        """D, numbers of an embedding."""
        return self.model.config.embed_dim

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Tensor | Any]:
        """Texts as ids and mask, images and videos as pixels: one kind in a batch, as the library sorts them.

        Args:
            inputs: Texts, or images (PIL, arrays, files) or videos (files).
            prompt: Put before texts.
            kwargs: The library's own, of which none has a use here; `modality` among them.
        """
        from sentence_transformers.base.modality import infer_batch_modality

        if infer_batch_modality(list(inputs), supported_modalities=self.modalities) == "text":
            tokens = self.processor.targets([(prompt or "") + text for text in inputs])
            return {"input_ids": tokens.ids_BL, "attention_mask": tokens.mask_BL.long()}
        pixels = [self.read(one) for one in inputs]
        longest = max(one.shape[1] for one in pixels)
        assert all(one.shape[1] == longest for one in pixels), "clips of one length"
        return {"pixel_values": torch.cat(pixels)}

    def forward(self, features: dict[str, Tensor | Any], **kwargs: Any) -> dict[str, Tensor | Any]:
        """Add `sentence_embedding` [B, D], unit norm."""
        del kwargs
        if "pixel_values" in features:
            prompt, count = self.model.config.prompts.caption, len(features["pixel_values"])
            query = self.processor.queries([prompt] * count).to(features["pixel_values"].device)
            rows = self.model.predict(self.model.encode_vision(features["pixel_values"]), query)
        else:
            rows = self.model.encode_text(Tokens(features["input_ids"], features["attention_mask"].bool()))
        return {**features, "sentence_embedding": rows}

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the whole model into the folder: weights, tokenizers, preprocessing, decoder."""
        del args, safe_serialization, kwargs
        self.model.save_pretrained(output_path, full=True)

    @classmethod
    def load(cls, model_name_or_path: str, *, revision: str | None = None, **kwargs: Any) -> Self:
        """Load a folder or a repository that `save` has written."""
        del kwargs
        name = str(Path(model_name_or_path)) if Path(model_name_or_path).is_dir() else model_name_or_path
        return cls(
            VLJEPA.from_pretrained(name, revision=revision), VLJEPAProcessor.from_pretrained(name, revision=revision)
        )
