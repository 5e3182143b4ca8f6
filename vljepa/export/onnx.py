"""A model as ONNX files, one for each tower, checked against the model that they were written from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vljepa.checkpoint.saving import save_tokenizers
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import CheckpointError, ConfigError
from vljepa.export.samples import TEXTS
from vljepa.export.towers import ImageTower, QueryTower, TextTower, takes_questions, traceable
from vljepa.inference.embed import Embedder
from vljepa.inference.onnx_file import OPSET, open_session, require_onnx, write_onnx
from vljepa.models.types import Tokens
from vljepa.parts.saved import TOKENIZERS_FOLDER, write_config

TOLERANCE = 1e-4
"""Largest difference of a number of an embedding from the model's own."""
FACTS_FILE = "onnx.json"
QUESTION = "what colour is it, and what is it made of?"

Rows = NDArray[np.float32]


@dataclass
class Tower:
    """One file that was written.

    Args:
        file: Its name.
        inputs: Names of its inputs.
        output: Name of its output, [batch, D].
        difference: Largest difference of a number of an embedding from the model's own.
    """

    file: str
    inputs: list[str]
    output: str
    difference: float = 0.0


@dataclass
class Written:
    """What an export has written.

    Args:
        towers: `image`, `image_query` where questions change something, and `text`.
        opset: Version of ONNX's operators.
        embed_dim: D, numbers of an embedding.
        text_length: Tokens of a text where it is fixed; None where it may be of any length.
    """

    towers: dict[str, Tower] = field(default_factory=dict)
    opset: int = OPSET
    embed_dim: int = 0
    text_length: int | None = None


def export_onnx(embedder: Embedder, folder: Path) -> Written:
    """Write one ONNX file for each tower, and what is needed to prepare images and texts for them.

    `image.onnx`: `pixels` [batch, 3, H, W] to `image_embedding`, under no question. `image_query.onnx`: `pixels`,
    `query_ids`, `query_mask` to `answer_embedding`; left out where questions change nothing. `text.onnx`: `input_ids`,
    `attention_mask` to `text_embedding`. All float32 or int64, any batch, embeddings of unit length.

    Args:
        embedder: The model on the CPU, in float32.
        folder: To write into; made when absent.

    Raises:
        ConfigError: The extra is not installed, or torch cannot write an encoder of the model.
        CheckpointError: A file does not give what the model gives.
    """
    require_onnx()
    model = check_exportable(embedder)
    folder.mkdir(parents=True, exist_ok=True)
    written = Written(embed_dim=model.config.embed_dim)
    with traceable(model):
        written.towers["image"] = _write_image(embedder, folder / "image.onnx")
        if takes_questions(model):
            written.towers["image_query"] = _write_query(embedder, folder / "image_query.onnx")
        written.towers["text"], written.text_length = _write_text(embedder, folder / "text.onnx")
    write_config(model.config, folder)
    save_tokenizers(model, folder / TOKENIZERS_FOLDER)
    (folder / FACTS_FILE).write_text(json.dumps(asdict(written), indent=2), encoding="utf-8")
    return written


def image_tower(embedder: Embedder) -> ImageTower:
    """The image side under the model's caption prompt."""
    prompt = embedder.model.config.prompts.caption
    tower = ImageTower(embedder.model, query=embedder.processor.queries([prompt]) if prompt else None)
    return tower.eval()


def _write_image(embedder: Embedder, file: Path) -> Tower:
    tower, found = image_tower(embedder), Tower(file.name, ["pixels"], "image_embedding")
    dynamic = {"pixels": {0: "batch"}}
    write_onnx(tower, {"pixels": sample_pixels(embedder.model, 2)}, file, outputs=[found.output], dynamic=dynamic)
    found.difference = difference(tower, file, [{"pixels": sample_pixels(embedder.model, count)} for count in (1, 3)])
    return found


def _write_query(embedder: Embedder, file: Path) -> Tower:
    model = embedder.model
    found = Tower(file.name, ["pixels", "query_ids", "query_mask"], "answer_embedding")

    def inputs(queries: Sequence[str]) -> dict[str, Tensor]:
        tokens = embedder.processor.queries(list(queries))
        return dict(zip(found.inputs, (sample_pixels(model, len(queries)), *_plain(tokens)), strict=True))

    text = {0: "batch"} if fixed_length(embedder.processor.queries) is not None else {0: "batch", 1: "length"}
    tower = QueryTower(model).eval()
    dynamic = {"pixels": {0: "batch"}, "query_ids": text, "query_mask": text}
    write_onnx(tower, inputs([QUESTION, "what is it?"]), file, outputs=[found.output], dynamic=dynamic)
    found.difference = difference(tower, file, [inputs(["what is it?"]), inputs(["", QUESTION, QUESTION * 3])])
    return found


def _write_text(embedder: Embedder, file: Path) -> tuple[Tower, int | None]:
    """What was written, and the length of a text where it is fixed."""
    found = Tower(file.name, ["input_ids", "attention_mask"], "text_embedding")

    def inputs(texts: Sequence[str]) -> dict[str, Tensor]:
        return dict(zip(found.inputs, _plain(embedder.processor.targets(list(texts))), strict=True))

    length = fixed_length(embedder.processor.targets)
    axes = {0: "batch"} if length is not None else {0: "batch", 1: "length"}
    tower = TextTower(embedder.model).eval()
    write_onnx(tower, inputs(TEXTS[:2]), file, outputs=[found.output], dynamic=dict.fromkeys(found.inputs, axes))
    found.difference = difference(tower, file, [inputs(TEXTS[:1]), inputs(TEXTS)])
    return found, length


def sample_pixels(model: VLJEPA, count: int) -> Tensor:
    """Pixels [count, 3, H, W] to write and to check a file with; the same each time."""
    size = model.config.x_encoder.image.size
    assert size is not None
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0))


def run_session(session: Any, inputs: dict[str, Tensor]) -> Rows:
    """The one output of a file."""
    found: Rows = session.run(None, {name: one.numpy() for name, one in inputs.items()})[0]
    return found


def difference(tower: nn.Module, file: Path, cases: Sequence[dict[str, Tensor]]) -> float:
    """Largest difference from the model's own embeddings.

    Raises:
        CheckpointError: It is larger than `TOLERANCE`.
    """
    session, worst = open_session(file), 0.0
    for inputs in cases:
        own: Rows = tower(*inputs.values()).numpy()
        worst = max(worst, float(np.abs(run_session(session, inputs) - own).max()))
    if not worst <= TOLERANCE:
        raise CheckpointError(
            f"{file.name} differs from the model by {worst:.1e}, more than {TOLERANCE:.0e}.",
            fix="use the torch backend, and report it with the model's name.",
        )
    return worst


def _plain(tokens: Tokens) -> tuple[Tensor, Tensor]:
    return tokens.ids_BL, tokens.mask_BL.long()


def fixed_length(tokens: Callable[[list[str]], Tokens]) -> int | None:
    """Tokens of every text, where a tokenizer fills each to its tower's context; else None."""
    short, long = (tokens([text]).ids_BL.shape[1] for text in ("a", TEXTS[1]))
    return short if short == long else None


def check_exportable(embedder: Embedder) -> VLJEPA:
    """The model, where it can be written.

    Raises:
        ConfigError: Its X-Encoder takes clips alone, or it is on a GPU or narrowed.
    """
    model = embedder.model
    if model.x_encoder.backend.joint_frames:
        raise ConfigError(
            f"{model.config.x_encoder.part} sees frames jointly, and files of ONNX are for images.",
            fix="export a model of an image encoder, or use the torch backend.",
        )
    if next(model.parameters()).dtype != torch.float32 or embedder.device.type != "cpu":
        raise ConfigError("ONNX files are written from a model in float32 on the CPU.", fix="load it so.")
    return model
