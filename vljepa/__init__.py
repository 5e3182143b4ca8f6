"""VL-JEPA: predict the embedding of the answer, and decode words only when words are needed.

The public names load on first use, so that `import vljepa` costs milliseconds and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vljepa.auto_registration import register_when_imported

__version__ = "0.1.0"

_PUBLIC = {
    "VLJEPA": "vljepa.checkpoint.vl_jepa",
    "VLJEPAConfig": "vljepa.configs",
    "VLJEPAProcessor": "vljepa.processing.processor",
    "Trainer": "vljepa.training.trainer",
    "Among": "vljepa.inference.index",
    "Index": "vljepa.inference.index",
    "Pipeline": "vljepa.inference.pipeline",
    "SelectiveDecoder": "vljepa.inference.selective",
    "ask": "vljepa.inference.vqa",
    "caption": "vljepa.inference.caption",
    "classify": "vljepa.inference.classify",
    "load": "vljepa.inference.pipeline",
    "probe": "vljepa.training.probing",
    "stream": "vljepa.inference.stream",
    "watch": "vljepa.inference.watch",
    "VLJEPAError": "vljepa.errors",
}

__all__ = [
    "VLJEPA",
    "Among",
    "Index",
    "Pipeline",
    "SelectiveDecoder",
    "Trainer",
    "VLJEPAConfig",
    "VLJEPAError",
    "VLJEPAProcessor",
    "ask",
    "caption",
    "classify",
    "load",
    "probe",
    "stream",
    "watch",
]

if TYPE_CHECKING:
    from vljepa.checkpoint.vl_jepa import VLJEPA
    from vljepa.configs import VLJEPAConfig
    from vljepa.errors import VLJEPAError
    from vljepa.inference.caption import caption
    from vljepa.inference.classify import classify
    from vljepa.inference.index import Among, Index
    from vljepa.inference.pipeline import Pipeline, load
    from vljepa.inference.selective import SelectiveDecoder
    from vljepa.inference.stream import stream
    from vljepa.inference.vqa import ask
    from vljepa.inference.watch import watch
    from vljepa.processing.processor import VLJEPAProcessor
    from vljepa.training.probing import probe
    from vljepa.training.trainer import Trainer


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'vljepa' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])


register_when_imported()
