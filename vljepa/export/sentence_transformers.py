"""A model as a folder that sentence-transformers loads, and with it LlamaIndex, LangChain, Haystack and MTEB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vljepa.backends import part_folder
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError
from vljepa.export.onnx import TOLERANCE
from vljepa.export.samples import TEXTS, sample_images
from vljepa.export.towers import takes_questions
from vljepa.inference.embed import Embedder
from vljepa.processing.processor import VLJEPAProcessor

_CARD = """---
library_name: sentence-transformers
tags: [sentence-transformers, vljepa, feature-extraction]
---

# A VL-JEPA model for sentence-transformers

Texts and images in one space.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("PATH/TO/FOLDER"{options})
print(model.similarity(model.encode([image]), model.encode(["a cat", "a dog"])))
```

{note}
"""
_IMPORTED = (
    "It needs `pip install vljepa-torch sentence-transformers`: `trust_remote_code` lets the library import a class of "
    "the installed package `vljepa`. This folder holds no code."
)
_OWN = "It needs `pip install sentence-transformers` and nothing else: all modules are that library's own."


def export_sentence_transformers(model: VLJEPA, folder: Path, *, processor: VLJEPAProcessor) -> bool:
    """Write the folder: of a dual encoder of transformers its own files, of any other model the whole of it.

    Args:
        model: Without adapters, on the CPU.
        folder: To write.
        processor: The processor that belongs to it.

    Returns:
        Whether it has to be loaded with `trust_remote_code=True`. A dual encoder on which nothing was learned has not,
        where that library's own modules give the same embeddings.

    Raises:
        ConfigError: sentence-transformers 5.4 or newer is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import InputModule  # noqa: F401, of 5.4
    except ImportError as error:
        raise ConfigError(
            "this format needs sentence-transformers 5.4 or newer.", fix='pip install "sentence-transformers>=5.4".'
        ) from error
    plain = _own_modules(model, processor)
    if plain is not None:
        plain.save_pretrained(str(folder), create_model_card=False)
        (folder / "README.md").write_text(_CARD.format(options="", note=_OWN), encoding="utf-8")
        return False
    from vljepa.export.sentence_module import VLJEPAModule

    whole = SentenceTransformer(modules=[VLJEPAModule(model, processor)], device="cpu", similarity_fn_name="cosine")
    whole.save_pretrained(str(folder), create_model_card=False)
    card = _CARD.format(options=", trust_remote_code=True", note=_IMPORTED)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return True


def _own_modules(model: VLJEPA, processor: VLJEPAProcessor) -> Any:
    """A dual encoder of transformers in that library's modules; None where they do not give what the model gives."""
    part = model.config.x_encoder.part
    if takes_questions(model) or part.backend != "transformers" or part.source == "random":
        return None
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Transformer

    embedder, images = Embedder(model, processor), sample_images()
    try:
        found = SentenceTransformer(modules=[Transformer(str(part_folder(part))), Normalize()], device="cpu")
        alone = np.stack([found.encode(text) for text in TEXTS])  # a short text is filled up by SigLIP's own tokenizer
        given = alone, found.encode(images)
    except (ValueError, TypeError, KeyError, RuntimeError, OSError):  # a class that the library does not know so
        return None
    wanted = embedder.texts(TEXTS), embedder.images(images)
    same = all(float(np.abs(one - other).max()) <= TOLERANCE for one, other in zip(given, wanted, strict=True))
    return found if same else None
