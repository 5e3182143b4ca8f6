"""What the frozen encoders and the model say about pictures and texts, from the feature cache that training uses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vljepa.configs import CacheConfig
from vljepa.data.features import FeatureCache, TextFeatures
from vljepa.checkpoint.vl_jepa import VLJEPA, Ablation
from vljepa.models.types import Latents
from vljepa.processing.processor import VLJEPAProcessor

BATCH = 128
Rows = NDArray[np.float32]


def cache_config(folder: Path) -> CacheConfig:
    """Settings of the cache in `folder`; those of an existing one are kept, so that a training's cache can be used."""
    manifest = folder / "vision/manifest.json"
    if not manifest.is_file():
        return CacheConfig(folder=str(folder))
    found = json.loads(manifest.read_text(encoding="utf-8"))
    return CacheConfig(folder=str(folder), seed=found["seed"], min_scale=found["min_scale"], flip=found["flip"])


class Frozen:
    """A model with the features of its frozen encoders.

    Args:
        model: A finished model whose Y-Encoder backbone is frozen.
        processor: Its processor.
        cache: Folder of the feature cache.
    """

    def __init__(self, model: VLJEPA, processor: VLJEPAProcessor, *, cache: Path) -> None:
        assert not model.config.y_encoder.trainable, "the baselines stand on the frozen Y-Encoder's own features"
        self.model = model.eval()
        self.processor = processor
        self.caption_prompt = model.config.prompts.caption
        self._pictures = FeatureCache(cache_config(cache), fingerprint=model.x_encoder_fingerprint())
        self._texts = TextFeatures(cache, config=model.config.y_encoder)
        self._known: dict[tuple[Path, int], tuple[Tensor, Tensor]] = {}
        self.blank = cache / "blank.png"
        if not self.blank.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (127, 127, 127)).save(self.blank)
        self.fill_pictures({self.blank: 1})

    def fill_pictures(self, views: Mapping[Path, int]) -> None:
        """Encode the pictures that the cache lacks; an unreadable one is an error here."""
        self._pictures.fill(views, model=self.model, processor=self.processor, max_skipped=0.0)

    def fill_texts(self, texts: Sequence[str]) -> None:
        """Encode the texts that the cache lacks."""
        self._texts.fill(texts, model=self.model, processor=self.processor)

    def pooled(self, paths: Sequence[Path], *, view: int = 0) -> Tensor:
        """Mean of each picture's visual tokens, fp32 [N, Dv]: what the baselines see."""
        return torch.stack([pooled_D for pooled_D, _ in self._summaries(paths, view)])

    def logits(self, paths: Sequence[Path], *, view: int = 0) -> Tensor:
        """Output of the X-Encoder's own classifier, fp32 [N, K]."""
        return torch.stack([logits_K for _, logits_K in self._summaries(paths, view)])

    def _summaries(self, paths: Sequence[Path], view: int) -> list[tuple[Tensor, Tensor]]:
        """Pooled tokens and logits of every picture; kept in memory, for the baselines ask for them again and again."""
        new = [path for path in dict.fromkeys(paths) if (path, view) not in self._known]
        for start in range(0, len(new), BATCH):
            chunk = new[start : start + BATCH]
            read = self._pictures.read([(path, view) for path in chunk]).tensors
            pooled_ND, logits_NK = read["vision_tokens"].mean(1), read["vision_logits"]
            self._known.update(
                zip([(path, view) for path in chunk], zip(pooled_ND, logits_NK, strict=True), strict=True)
            )
        return [self._known[path, view] for path in paths]

    def texts(self, texts: Sequence[str]) -> Tensor:
        """The frozen Y-Encoder's own embeddings, fp32 [M, E], unit norm: the text side of every baseline."""
        self.fill_texts(texts)
        return F.normalize(self._texts.read(texts), dim=-1)

    @torch.no_grad()
    def model_texts(self, texts: Sequence[str]) -> Rows:
        """The model's embeddings of texts [M, D], unit norm."""
        self.fill_texts(texts)
        rows: Rows = self.model.project_text(self._texts.read(texts)).float().numpy()
        return rows

    @torch.no_grad()
    def predictions(self, pairs: Sequence[tuple[Path, str]], *, ablate: Ablation | None = None, view: int = 0) -> Rows:
        """The model's predictions [N, D] for (picture, query) pairs; equal pairs are computed once."""
        if not pairs:
            return np.zeros((0, self.model.config.embed_dim), dtype=np.float32)
        contents = self._pictures.contents
        keys = [(contents[path], query) for path, query in pairs]
        first: dict[tuple[str, str], int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        # Queries of one length side by side: less padding, the same numbers.
        order = sorted(first.values(), key=lambda position: (len(pairs[position][1]), pairs[position][1]))
        done: dict[tuple[str, str], NDArray[np.float32]] = {}
        for start in range(0, len(order), BATCH):
            chunk = order[start : start + BATCH]
            rows = self._predict([pairs[position] for position in chunk], ablate, view)
            done.update(zip((keys[position] for position in chunk), rows, strict=True))
        return np.stack([done[key] for key in keys])

    def _predict(self, pairs: Sequence[tuple[Path, str]], ablate: Ablation | None, view: int) -> Rows:
        tensors = self._pictures.read([(path, view) for path, _ in pairs]).tensors
        vision = Latents(tensors["vision_tokens"], tensors["vision_mask"], tensors.get("vision_logits"))
        queries = [query for _, query in pairs]
        tokens = self.processor.queries(queries) if any(queries) else {}
        rows: Rows = (
            self.model.predict(vision, tokens.get("query_ids"), tokens.get("query_mask"), ablate=ablate).float().numpy()
        )
        return rows
