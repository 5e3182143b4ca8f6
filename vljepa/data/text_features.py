"""What a frozen Y-Encoder makes of texts, computed once and kept on disk under the text itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vljepa.configs import YEncoderConfig
from vljepa.data.filling import fill_together
from vljepa.data.progress import track
from vljepa.data.store import Row, RowStore
from vljepa.models.jepa import JEPA

if TYPE_CHECKING:
    from vljepa.processing.processor import VLJEPAProcessor

TEXTS_PER_FORWARD = 128


class TextFeatures:
    """Pooled features of a frozen Y-Encoder, before its head, as fp32 rows under the text itself.

    Args:
        folder: The cache's folder.
        config: The Y-Encoder.

    Raises:
        DataError: The folder was made with another Y-Encoder.
    """

    def __init__(self, folder: str | Path, *, config: YEncoderConfig) -> None:
        used = ("part", "pooling", "dense", "prefix", "max_tokens")
        spec = {name: one for name, one in config.stated().items() if name in used}
        digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]
        self._store = RowStore(Path(folder) / "text", identity={"format": 1, "y_encoder": digest, "dtype": "float32"})

    def fill(self, texts: Sequence[str], *, model: JEPA, processor: VLJEPAProcessor) -> None:
        """Encode the texts that are not there yet, on the device where the model is; all processes together."""
        fill_together(
            self._store,
            sorted(set(texts), key=lambda text: (len(text), text)),
            content=lambda text: text,
            is_missing=lambda text: text not in self._store,
            encode=lambda some: ((0, text, row) for text, row in self._encode(some, model, processor)),
            rows_per_file=20_000,
        )

    def read(self, texts: Sequence[str]) -> Tensor:
        """Features [B, E] of texts that `fill` has seen."""
        return torch.from_numpy(np.stack([self._store.row(text)["features"] for text in texts]))

    @staticmethod
    @torch.no_grad()
    def _encode(texts: Sequence[str], model: JEPA, processor: VLJEPAProcessor) -> Iterator[tuple[str, Row]]:
        device = model.log_scale.device
        model.eval()
        starts = range(0, len(texts), TEXTS_PER_FORWARD)
        for start in track(starts, what="encoding batches of texts", total=len(starts)):
            chunk = texts[start : start + TEXTS_PER_FORWARD]
            tokens = processor.targets(chunk)
            features_BE = model.text_features(tokens.to(device))
            for text, row_E in zip(chunk, features_BE.float().cpu().numpy(), strict=True):
                yield text, {"features": row_E}
