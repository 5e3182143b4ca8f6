"""A model in the folder layout that immich's machine learning loads.

Layout: `config.json`, `visual/{model.onnx,preprocess_cfg.json}`, `textual/{model.onnx,tokenizer.json,
tokenizer_config.json}`; inputs `image` float32 [1, 3, S, S] and `text` int32 [1, L].
Source: immich-app/immich, machine-learning/immich_ml/models/clip/{visual,textual}.py.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vljepa.backends.pixels import FILTERS
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import ImageConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.export.onnx import TOLERANCE, check_exportable, difference, fixed_length, image_tower
from vljepa.export.samples import TEXTS
from vljepa.export.towers import ImageTower, traceable
from vljepa.inference.embed import Embedder
from vljepa.inference.onnx_file import open_session, require_onnx, write_onnx
from vljepa.models.types import Tokens
from vljepa.processing.given import ImageInput, as_rgb

_LONGEST = 77
"""Tokens of a text at most: immich fills every text to this length."""


class _Visual(nn.Module):
    """The middle of what immich prepares to an embedding: it cannot cut after it has scaled.

    Args:
        tower: The image side.
        size: Of the middle, height and width.
    """

    def __init__(self, tower: ImageTower, size: tuple[int, int]) -> None:
        super().__init__()
        self.tower = tower
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        """Embedding [1, D] of pixels [1, 3, S, S]."""
        (height, width), side = self.size, image.shape[-1]
        top, left = (side - height) // 2, (side - width) // 2
        return self.tower(image[:, :, top : top + height, left : left + width])


class _Text(nn.Module):
    """Ids alone to an embedding: the mask is found in them.

    Args:
        model: In eval mode.
        pad: Id that texts are filled with.
        end: Id that ends a text, where it is the same as `pad`.
        reads_padding: Whether the tower reads all positions.
    """

    def __init__(self, model: VLJEPA, *, pad: int, end: int | None, reads_padding: bool) -> None:
        super().__init__()
        self.model = model
        self.pad = pad
        self.ends_with_pad = end == pad
        self.reads_padding = reads_padding

    def forward(self, text: Tensor) -> Tensor:
        """Embedding [1, D] of ids [1, L]."""
        ids_BL = text.long()
        padding = ids_BL == self.pad
        if self.reads_padding:
            mask_BL = torch.ones_like(padding)
        elif self.ends_with_pad:  # the first one ends the text
            mask_BL = (padding.long().cumsum(1) - padding.long()) == 0
        else:
            mask_BL = ~padding
        return self.model.encode_text(Tokens(ids_BL, mask_BL))


def export_immich(embedder: Embedder, folder: Path, *, images: Sequence[ImageInput]) -> float:
    """Write the folder, and check it by loading and running it as immich does.

    Args:
        embedder: The model on the CPU, in float32.
        folder: To write; its name is the model's name in immich's settings.
        images: To compare with.

    Returns:
        Smallest cosine of an image as immich prepares it with the same image as the model does. Texts are equal.

    Raises:
        ConfigError: The extra is not installed, or the model needs something that immich does not do.
        CheckpointError: A file does not give what the model gives.
    """
    require_onnx()
    model = check_exportable(embedder)
    tokenizer = _tokenizer(embedder)
    image = model.config.x_encoder.image
    if model.config.y_encoder.prefix:
        raise ConfigError(
            f"immich puts nothing before a text, and this model wants {model.config.y_encoder.prefix!r}.",
            fix="serve it instead: `vljepa serve`.",
        )
    visual, textual = folder / "visual", folder / "textual"
    visual.mkdir(parents=True, exist_ok=True)
    textual.mkdir(exist_ok=True)
    tokenizer.save_pretrained(textual)
    fixed = fixed_length(embedder.processor.targets)
    length = fixed or min(_LONGEST, model.config.y_encoder.max_tokens or _LONGEST)
    reads_padding = fixed is not None and bool(embedder.processor.targets(["a"]).mask_BL.all())
    (folder / "config.json").write_text(json.dumps(_config(model, length), indent=2), encoding="utf-8")
    (visual / "preprocess_cfg.json").write_text(json.dumps(_preprocessing(image), indent=2), encoding="utf-8")
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    tower = _Text(model, pad=pad, end=end, reads_padding=reads_padding).eval()
    with traceable(model):
        assert image.size is not None
        seen = _Visual(image_tower(embedder), image.size).eval()
        pixels = {"image": torch.rand(1, 3, *[_side(image)] * 2, generator=torch.Generator().manual_seed(0))}
        write_onnx(seen, pixels, visual / "model.onnx", outputs=["image_embedding"], dynamic={})
        difference(seen, visual / "model.onnx", [pixels])
        ids = torch.full((1, length), pad, dtype=torch.int32)
        write_onnx(tower, {"text": ids}, textual / "model.onnx", outputs=["text_embedding"], dynamic={})
    _check_texts(embedder, folder)
    return _agreement(embedder, folder, images)


def _tokenizer(embedder: Embedder) -> Any:
    """The text side's tokenizer as transformers has it."""
    own = embedder.processor.target_tokenizer
    found = getattr(own, "tokenizer", None)
    found = getattr(found, "tokenizer", found)  # open_clip wraps transformers' own
    if getattr(found, "backend_tokenizer", None) is None or getattr(own, "lower", False):
        raise ConfigError(
            "immich reads a tokenizer.json, and this model's tokenizer has none that says all it does.",
            fix="take the same model of transformers, or serve this one: `vljepa serve`.",
        )
    return found


def _config(model: VLJEPA, length: int) -> dict[str, Any]:
    own = (model.config.y_encoder.part.config or {}).get("model_cfg", {}).get("text_cfg", {})  # of open_clip
    clean = {"tokenizer_kwargs": own["tokenizer_kwargs"]} if "tokenizer_kwargs" in own else {}
    return {
        "embed_dim": model.config.embed_dim,
        "vision_cfg": {"image_size": _side(model.config.x_encoder.image)},
        "text_cfg": {"context_length": length, **clean},
    }


def _side(image: ImageConfig) -> int:
    """Side of the square that immich prepares; the model sees its middle."""
    assert image.size is not None
    if image.resize_to is not None:
        return image.resize_to
    return max(round(one / image.crop_fraction) for one in image.size) if image.resize == "crop" else max(image.size)


def _preprocessing(image: ImageConfig) -> dict[str, Any]:
    assert image.mean is not None
    assert image.std is not None
    return {
        "size": [_side(image)] * 2,
        "mode": "RGB",
        "mean": list(image.mean),
        "std": list(image.std),
        "interpolation": image.interpolation,
        "resize_mode": "squash" if image.resize == "squash" else "shortest",
        "fill_color": 0,
    }


def _check_texts(embedder: Embedder, folder: Path) -> None:
    from tokenizers import Tokenizer

    textual = folder / "textual"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["text_cfg"]
    length = config["context_length"]
    pad = json.loads((textual / "tokenizer_config.json").read_text(encoding="utf-8"))["pad_token"]
    tokenizer = Tokenizer.from_file(str(textual / "tokenizer.json"))
    tokenizer.enable_padding(length=length, pad_token=pad, pad_id=tokenizer.token_to_id(pad))
    tokenizer.enable_truncation(max_length=length)
    session = open_session(textual / "model.onnx")
    for text, wanted in zip(TEXTS, embedder.texts(TEXTS), strict=True):
        ids = np.array([tokenizer.encode(_cleaned(text, config)).ids], dtype=np.int32)
        apart = float(np.abs(session.run(None, {"text": ids})[0][0] - wanted).max())
        if not apart <= TOLERANCE:
            raise CheckpointError(
                f"textual/model.onnx differs from the model by {apart:.1e} on {text!r}.",
                fix="serve the model instead, `vljepa serve`, and report it with the model's name.",
            )


def _cleaned(text: str, config: dict[str, Any]) -> str:
    text = " ".join(text.split())
    if config.get("tokenizer_kwargs", {}).get("clean") == "canonicalize":
        text = text.translate(str.maketrans("", "", string.punctuation)).lower()
    return text


def _agreement(embedder: Embedder, folder: Path, images: Sequence[ImageInput]) -> float:
    config = embedder.model.config.x_encoder.image
    session = open_session(folder / "visual" / "model.onnx")
    own = embedder.images(images)
    theirs = [
        session.run(None, {"image": _as_immich(as_rgb(one, max_pixels=config.max_pixels), config)})[0][0]
        for one in images
    ]
    return float((own * np.stack(theirs)).sum(axis=1).min())


def _as_immich(image: Image.Image, config: ImageConfig) -> Any:
    """Pixels [1, 3, S, S] as immich prepares them."""
    assert config.interpolation is not None
    side, method = _side(config), FILTERS[config.interpolation]
    if config.resize == "squash":
        image = image.resize((side, side), method)
    else:
        width, height = image.size
        scaled = (side, int(height / width * side)) if width < height else (int(width / height * side), side)
        image = image.resize(scaled, method)
        left, top = int(image.width / 2 - side / 2), int(image.height / 2 - side / 2)
        image = image.crop((left, top, left + side, top + side))
    mean, std = np.array(config.mean, dtype=np.float32), np.array(config.std, dtype=np.float32)
    pixels = (np.asarray(image, dtype=np.float32) / np.float32(255) - mean) / std
    return pixels.transpose(2, 0, 1)[None]
