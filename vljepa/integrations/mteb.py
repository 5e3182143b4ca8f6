"""MTEB and its image part MIEB: `mteb.evaluate(VLJEPAEncoder("mini"), tasks)`.

MTEB takes the first of equal scores, as CLIP_benchmark does: a collapsed model may score 100% in tasks that list the
right answer first. Nor are its scores always those of papers: retrieval has nDCG@10 first, and its MSR-VTT 879
items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction

from vljepa.errors import DataError
from vljepa.inference.embed import Embedder, Rows

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.types import PromptType


class VLJEPAEncoder(AbsEncoder):
    """A model as MTEB calls it: texts by the Y-Encoder, images by the Predictor.

    An image that comes with a text is embedded under it, as the query. The prompts of MTEB's tasks are instructions
    for language models and are not used.

    Args:
        model_name: Preset, folder or repository, as for `VLJEPA.from_pretrained`.
        revision: Shown in the results.
        device: As for `Embedder.from_pretrained`.
        kwargs: MTEB's, not used.

    Raises:
        VLJEPAError: No such model or device.

    Example:
        >>> import mteb  # doctest: +SKIP
        >>> mteb.evaluate(VLJEPAEncoder("mini"), mteb.get_tasks(["CIFAR10ZeroShot"]))  # doctest: +SKIP
    """

    def __init__(
        self, model_name: str = "mini", revision: str | None = None, *, device: str | None = None, **kwargs: Any
    ) -> None:
        del kwargs
        self.embedder = Embedder.from_pretrained(model_name, device=device)
        self.model = self.embedder.model
        self.mteb_model_meta = ModelMeta.create_empty(
            overwrites={
                "name": f"vljepa/{model_name.rstrip('/').rpartition('/')[2]}",
                "revision": revision or self.model.fingerprint(),
                "embed_dim": self.model.config.embed_dim,
                "similarity_fn_name": ScoringFunction.COSINE,
                "modalities": ["text", "image"],
                "framework": ["PyTorch"],
            }
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Rows:
        """Embeddings of batches with `text`, `image` or both: [N, D] float32 rows of unit length.

        Raises:
            DataError: A batch has neither; sound and video are not supported.
        """
        del task_metadata, hf_split, hf_subset, prompt_type, kwargs
        return np.concatenate([self._batch(batch) for batch in inputs])

    def _batch(self, batch: Mapping[str, Any]) -> Rows:
        if "image" in batch:
            images = list(batch["image"])
            return self.embedder.pairs(images, list(batch.get("text") or [""] * len(images)))
        if "text" in batch:
            return self.embedder.texts(list(batch["text"]))
        raise DataError(
            f"a batch of MTEB has {', '.join(batch)} and neither text nor image.",
            fix="choose tasks with images and texts.",
        )
