"""What the baselines see, and the model itself on the same stored views: the feature cache that training uses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from eval.core.embedding import Rows
from vljepa.configs import CacheConfig
from vljepa.data.features import FeatureCache
from vljepa.data.records import Visual
from vljepa.data.text_features import TextFeatures
from vljepa.inference.embed import Embedder
from vljepa.models.residuals import Ablation

BATCH = 128


def cache_config(folder: Path) -> CacheConfig:
    """Settings of the cache in `folder`; those of an existing one are kept, so that a training's cache can be used."""
    manifest = folder / "vision/manifest.json"
    if not manifest.is_file():
        return CacheConfig(folder=str(folder))
    found = json.loads(manifest.read_text(encoding="utf-8"))
    return CacheConfig(folder=str(folder), seed=found["seed"], min_scale=found["min_scale"], flip=found["flip"])


class Features:
    """A finished model, whose Y-Encoder backbone is frozen, with the stored features of its encoders."""

    def __init__(self, embedder: Embedder, *, cache: Path) -> None:
        model = embedder.model
        assert model.config.y_encoder.target == "frozen", "the baselines stand on the frozen Y-Encoder's own features"
        self.embedder, self.model = embedder, model
        self.caption_prompt = model.config.prompts.caption
        self._images = FeatureCache(cache_config(cache), fingerprint=model.x_encoder_fingerprint())
        self._texts = TextFeatures(cache, config=model.config.y_encoder)
        self._known: dict[tuple[Path, int], tuple[Tensor, Tensor]] = {}
        self.blank = cache / "blank.png"
        if not self.blank.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64, 64), (127, 127, 127)).save(self.blank)
        self.fill_images({self.blank: 1})

    def fill_images(self, views: Mapping[Visual, int]) -> None:
        """Encode the images that the cache lacks; an unreadable one is an error here."""
        self._images.fill(views, model=self.model, processor=self.embedder.processor, max_skipped=0.0)

    def pooled(self, paths: Sequence[Path], *, view: int = 0) -> Tensor:
        """Mean of each image's visual tokens, fp32 [N, Dv]: what the baselines see."""
        return torch.stack([pooled_D for pooled_D, _ in self._summaries(paths, view)])

    def logits(self, paths: Sequence[Path], *, view: int = 0) -> Tensor:
        """Output of the X-Encoder's own classifier, fp32 [N, K]."""
        return torch.stack([logits_K for _, logits_K in self._summaries(paths, view)])

    def _summaries(self, paths: Sequence[Path], view: int) -> list[tuple[Tensor, Tensor]]:
        """Pooled tokens and logits of every image; kept in memory, for the baselines ask for them again and again."""
        new = [path for path in dict.fromkeys(paths) if (path, view) not in self._known]
        for start in range(0, len(new), BATCH):
            keys = [(path, view) for path in new[start : start + BATCH]]
            read = self._images.read(keys).latents
            assert read is not None
            assert read.logits_BK is not None
            pooled_ND, logits_NK = read.tokens_BND.mean(1), read.logits_BK
            self._known.update(zip(keys, zip(pooled_ND, logits_NK, strict=True), strict=True))
        return [self._known[path, view] for path in paths]

    def texts(self, texts: Sequence[str]) -> Tensor:
        """The frozen Y-Encoder's own embeddings, fp32 [M, E], unit norm: the text side of every baseline."""
        return F.normalize(self._read_texts(texts), dim=-1)

    @torch.no_grad()
    def model_texts(self, texts: Sequence[str]) -> Rows:
        """The model's embeddings of texts [M, D], unit norm."""
        rows: Rows = self.model.project_text(self._read_texts(texts)).float().numpy()
        return rows

    def _read_texts(self, texts: Sequence[str]) -> Tensor:
        self._texts.fill(texts, model=self.model, processor=self.embedder.processor)
        return self._texts.read(texts)

    def predictions(
        self, pairs: Sequence[tuple[Visual, str]], *, ablate: Ablation | None = None, view: int = 0
    ) -> Rows:
        """The model's predictions [N, D] for (image, query) pairs; equal pairs are computed once."""
        if not pairs:
            return self.embedder.texts([])
        contents = self._images.contents
        keys = [(contents[path], query) for path, query in pairs]
        first: dict[tuple[str, str], int] = {}
        for position, key in enumerate(keys):
            first.setdefault(key, position)
        # Queries of one length side by side: less padding, the same numbers.
        order = sorted(first.values(), key=lambda position: (len(pairs[position][1]), pairs[position][1]))
        done: dict[tuple[str, str], Rows] = {}
        for start in range(0, len(order), BATCH):
            batch = [pairs[position] for position in order[start : start + BATCH]]
            vision = self._images.read([(path, view) for path, _ in batch]).latents
            assert vision is not None
            rows = self.embedder.ask(vision, [(n, query) for n, (_, query) in enumerate(batch)], ablate=ablate)
            done.update(zip((keys[position] for position in order[start : start + BATCH]), rows, strict=True))
        return np.stack([done[key] for key in keys])
