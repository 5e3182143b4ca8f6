"""Towers with weights of eight bits: smaller files, and what that costs and brings."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vljepa.export.onnx import Rows, Tower, run_session
from vljepa.export.samples import TEXTS
from vljepa.inference.embed import Embedder
from vljepa.inference.onnx_file import open_session, require_onnx
from vljepa.processing.given import ImageInput

FAITHFUL = 0.999
"""Least cosine with the float file's embedding of a tower that stays what it was."""
_BATCH, _ROUNDS = 8, 5
_QUANTIZED = ["MatMul", "Gemm", "Gather"]
"""Operators. Convolutions are left out: those of small encoders lose their meaning (cosine 0.81 with lite0 of `mini`),
and onnxruntime's are slower than in float."""


@dataclass(frozen=True)
class Quantized:
    """A tower in eight bits, beside the one in float.

    Args:
        file: Its name.
        cosine: Smallest cosine of its embeddings with the float file's.
        megabytes: Its size.
        float_megabytes: Size of the float file.
        seconds: For a batch of the inputs that it was measured with, the quickest of several rounds.
        float_seconds: The same of the float file, in the same rounds.
    """

    file: str
    cosine: float
    megabytes: float
    float_megabytes: float
    seconds: float
    float_seconds: float

    @property
    def is_faithful(self) -> bool:
        """Whether every cosine is above `FAITHFUL`."""
        return self.cosine > FAITHFUL


def quantize(file: Path) -> Path:
    """Write `NAME.int8.onnx` beside `NAME.onnx`: dynamic quantisation, a scale for each channel.

    Raises:
        ConfigError: The extra is not installed.
    """
    require_onnx()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    target, root = file.with_suffix(".int8.onnx"), logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it warns on the root logger that a model was not prepared
    try:
        quantize_dynamic(
            file, target, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=list(_QUANTIZED)
        )
    finally:
        root.setLevel(level)
    return target


def quantize_towers(
    embedder: Embedder, folder: Path, towers: dict[str, Tower], *, images: Sequence[ImageInput]
) -> dict[str, Quantized]:
    """Quantise the image and text towers of an export, and measure each against its float file.

    Args:
        embedder: The model that the files were written from.
        folder: Of the export.
        towers: What was written.
        images: To measure with.
    """
    pixels = torch.cat([embedder.processor.images([one]) for one in images])[:, 0]
    found = {}
    for name, tower in towers.items():
        if name == "text":
            tokens = embedder.processor.targets(list(TEXTS))
            values = [tokens.ids_BL, tokens.mask_BL.long()]
        else:
            values = [pixels]
        if name == "image_query":
            tokens = embedder.processor.queries(["what is it?"] * len(pixels))
            values += [tokens.ids_BL, tokens.mask_BL.long()]
        inputs = dict(zip(tower.inputs, values, strict=True))
        found[name] = _measured(folder / tower.file, quantize(folder / tower.file), inputs)
    return found


def _measured(file: Path, small: Path, inputs: dict[str, Tensor]) -> Quantized:
    sessions = {"float": open_session(file), "int8": open_session(small)}
    rows = {name: _all_rows(session, inputs) for name, session in sessions.items()}
    batch = {name: one[:_BATCH] for name, one in inputs.items()}
    seconds = dict.fromkeys(sessions, float("inf"))
    for _ in range(_ROUNDS):  # in turns: another program's load meets both
        for name, session in sessions.items():
            start = time.perf_counter()
            run_session(session, batch)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return Quantized(
        file=small.name,
        cosine=float(_cosines(rows["float"], rows["int8"]).min()),
        megabytes=small.stat().st_size / 1e6,
        float_megabytes=file.stat().st_size / 1e6,
        seconds=seconds["int8"],
        float_seconds=seconds["float"],
    )


def _all_rows(session: object, inputs: dict[str, Tensor]) -> Rows:
    count = len(next(iter(inputs.values())))
    parts = [{name: one[at : at + _BATCH] for name, one in inputs.items()} for at in range(0, count, _BATCH)]
    return np.concatenate([run_session(session, part) for part in parts])


def _cosines(a: Rows, b: Rows) -> Rows:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: Rows = (a * b).sum(axis=1) / lengths
    return cosines
