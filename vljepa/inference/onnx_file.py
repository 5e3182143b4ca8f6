"""A module as an ONNX file, and the file as a session of onnxruntime."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.errors import ConfigError
from vljepa.extras import require_extra

OPSET = 18
"""Version of ONNX's operators in the files: that which torch's exporter writes without a conversion."""


def require_onnx(*, writing: bool = True) -> None:
    """Check that the extra is installed.

    Args:
        writing: Files are to be written, and not only run.

    Raises:
        ConfigError: It is not.
    """
    require_extra("onnx", "onnxruntime", *(("onnx", "onnxscript") if writing else ()), user="ONNX")


def write_onnx(
    module: nn.Module,
    arguments: Mapping[str, Tensor],
    file: Path,
    *,
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
) -> None:
    """Write a module as one ONNX file with its weights inside.

    Args:
        module: In eval mode; it takes `arguments` in their order and gives one tensor for each of `outputs`.
        arguments: An input for each name, as an example: no axis that may change has length 1.
        file: The file to write; it appears whole or not at all.
        outputs: Names of the outputs.
        dynamic: Axes that may change, by input, with a name for each; equal names are equal lengths.

    Raises:
        ConfigError: The extra is not installed, or torch cannot write the module.
    """
    require_onnx()
    dims: dict[str, Any] = {name: torch.export.Dim(name, min=1) for axes in dynamic.values() for name in axes.values()}
    shapes = tuple({axis: dims[name] for axis, name in dynamic.get(one, {}).items()} for one in arguments)
    part = file.with_name(f".{os.getpid()}.{file.name}")
    try:
        with _quietly(), torch.no_grad():
            torch.onnx.export(
                module,
                tuple(arguments.values()),
                part,
                input_names=list(arguments),
                output_names=list(outputs),
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        part.replace(file)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        raise ConfigError(
            f"torch cannot write {file.name} of this model: {lines[0] if lines else type(error).__name__}",
            fix="use the torch backend, or another encoder.",
        ) from error
    finally:
        part.unlink(missing_ok=True)


def open_session(file: Path, *, threads: int | None = None) -> Any:
    """An onnxruntime session on the CPU.

    Args:
        file: The ONNX file.
        threads: Threads of one operator; without it as many as torch has.
    """
    require_onnx(writing=False)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter's notes are about its own insides."""
    logger = logging.getLogger("torch.onnx")
    script, level, script_level = logging.getLogger("onnxscript"), logger.level, logging.getLogger("onnxscript").level
    logger.setLevel(logging.ERROR)
    script.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        script.setLevel(script_level)
