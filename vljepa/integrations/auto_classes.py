"""Saved models in transformers' auto classes: `AutoConfig`, `AutoModel` and `AutoProcessor` of a folder or repository.

`AutoModel` gives a `VLJEPA`, which is a plain module and no `PreTrainedModel`: that class fills gaps with random
weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedConfig

from vljepa.parts.saved import MODEL_TYPE


class VLJEPAAutoConfig(PreTrainedConfig):
    """What config.json holds, as transformers reads it; `vljepa.VLJEPAConfig` is the checked one."""

    model_type = MODEL_TYPE


class AutoVLJEPA:
    """Gives a `VLJEPA`."""

    config_class = VLJEPAAutoConfig

    @classmethod
    def from_pretrained(cls, name: str | Path, *args: Any, revision: str | None = None, **kwargs: Any) -> Any:
        """The model in eval mode, as of `VLJEPA.from_pretrained`; `dtype` narrows it.

        Args:
            name: Folder or repository.
            args: Of transformers, without a use here.
            revision: Branch, tag or commit of a repository.
            kwargs: Of transformers; `dtype` alone has a use here.
        """
        import torch

        from vljepa.checkpoint.vl_jepa import VLJEPA

        del args
        model, dtype = VLJEPA.from_pretrained(name, revision=revision), kwargs.get("dtype")
        if isinstance(dtype, str) and dtype != "auto":
            dtype = getattr(torch, dtype)
        if isinstance(dtype, torch.dtype) and dtype != torch.float32:
            model.narrow(dtype)
        return model


class AutoVLJEPAProcessor:
    """Gives a `VLJEPAProcessor`."""

    @classmethod
    def from_pretrained(cls, name: str | Path, *args: Any, revision: str | None = None, **kwargs: Any) -> Any:
        """The processor, as of `VLJEPAProcessor.from_pretrained`; see `AutoVLJEPA` for the arguments."""
        from vljepa.processing.processor import VLJEPAProcessor

        del args, kwargs
        return VLJEPAProcessor.from_pretrained(name, revision=revision)


def register_config() -> None:
    """Tell `AutoConfig`."""
    from transformers import AutoConfig

    AutoConfig.register(MODEL_TYPE, VLJEPAAutoConfig, exist_ok=True)


def register_model() -> None:
    """Tell `AutoModel`."""
    from transformers import AutoModel

    register_config()
    AutoModel.register(VLJEPAAutoConfig, AutoVLJEPA, exist_ok=True)


def register_processor() -> None:
    """Tell `AutoProcessor`."""
    from transformers import AutoProcessor

    register_config()
    AutoProcessor.register(VLJEPAAutoConfig, AutoVLJEPAProcessor, exist_ok=True)
