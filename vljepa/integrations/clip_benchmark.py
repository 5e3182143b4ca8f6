"""CLIP_benchmark: `python -m vljepa.integrations.clip_benchmark eval --dataset wds/NAME --dataset_root FOLDER ...`.

CLIP_benchmark takes the first of equal scores, and lists the right answer first: a collapsed model scores 100% in its
image-text pairs. No adapter can mend that, since it only gives embeddings; `vljepa.metrics` counts ties against the
model.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms import Compose

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.inference.embed import Embedder
from vljepa.models.types import Tokens
from vljepa.processing.image import to_rgb
from vljepa.processing.processor import VLJEPAProcessor

MODEL_TYPE = "vljepa"


class ClipModel(nn.Module):
    """A model as CLIP_benchmark calls it: images under the caption prompt, texts by the Y-Encoder.

    The harness computes in half precision unless told otherwise; embeddings are computed as `vljepa` computes them.

    Args:
        model: A finished model.
        processor: The processor that belongs to it.
    """

    query_ids: Tensor
    query_mask: Tensor

    def __init__(self, model: VLJEPA, processor: VLJEPAProcessor) -> None:
        super().__init__()
        self.model = model
        query = processor.queries([model.config.prompts.caption])
        self.register_buffer("query_ids", query.ids_BL, persistent=False)
        self.register_buffer("query_mask", query.mask_BL, persistent=False)

    def encode_image(self, pixels_BCHW: Tensor) -> Tensor:
        """Predicted embeddings: fp32 [B, D], unit norm."""
        with torch.autocast(pixels_BCHW.device.type, enabled=False):
            vision = self.model.encode_vision(pixels_BCHW.float()[:, None])
            ids_BL = self.query_ids.expand(len(pixels_BCHW), -1)
            return self.model.predict(vision, Tokens(ids_BL, self.query_mask.expand_as(ids_BL)))

    def encode_text(self, tokens_B2L: Tensor) -> Tensor:
        """Embeddings of what the tokenizer gave, ids and mask: fp32 [B, D], unit norm."""
        with torch.autocast(tokens_B2L.device.type, enabled=False):
            return self.model.encode_text(Tokens(tokens_B2L[:, 0], tokens_B2L[:, 1].bool()))


def load_vljepa(
    model_name: str = "mini",
    pretrained: str = MODEL_TYPE,
    cache_dir: str | None = None,
    device: str | torch.device = "cpu",
) -> tuple[ClipModel, Callable[[Any], Tensor], Callable[[Sequence[str]], Tensor]]:
    """What CLIP_benchmark asks a loader for: model, transform of an image, and tokenizer.

    Args:
        model_name: Preset, folder or repository, as for `VLJEPA.from_pretrained`.
        pretrained: Not used; weights and name are one here.
        cache_dir: Not used; `VLJEPA_HOME` says where assets are kept.
        device: Where the model goes.

    Raises:
        VLJEPAError: No such model.
    """
    del pretrained, cache_dir
    embedder = Embedder.from_pretrained(model_name, device=str(device))
    processor = embedder.processor

    def tokenizer(texts: Sequence[str]) -> Tensor:
        targets = processor.targets(list(texts))
        return torch.stack([targets.ids_BL, targets.mask_BL.long()], dim=1)

    transform = Compose([to_rgb, processor.transform])
    return ClipModel(embedder.model, processor).to(device), transform, tokenizer


def register() -> None:
    """Make `--model_type vljepa` known to CLIP_benchmark, in this process."""
    from clip_benchmark.metrics import zeroshot_classification
    from clip_benchmark.models import MODEL_TYPES, TYPE2FUNC

    # At the end of a run, its accuracy (1.6.2) takes float() of an array of one number, which NumPy >= 2.4 refuses.
    zeroshot_classification.float = lambda value: float(np.asarray(value).item())
    TYPE2FUNC[MODEL_TYPE] = load_vljepa
    if MODEL_TYPE not in MODEL_TYPES:
        MODEL_TYPES.append(MODEL_TYPE)


def main() -> None:
    """CLIP_benchmark's own command line, with `mini` in full precision unless told otherwise.

    Half precision makes ties, and so numbers that depend on the order of the data.
    """
    from clip_benchmark.cli import main as run

    register()
    if sys.argv[1:2] == ["eval"]:
        ours = ["--model_type", MODEL_TYPE, "--model", "mini", "--pretrained", MODEL_TYPE, "--no_amp"]
        sys.argv[2:2] = ours  # the last one given counts, which is the user's
    run()


if __name__ == "__main__":
    main()
