"""Where a model runs: the person's choice, or the best that is there."""

from __future__ import annotations

import torch

from vljepa.errors import ConfigError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str | None = None) -> torch.device:
    """Device for a name such as `cpu`, `cuda` or `cuda:1`; without a name, CUDA where present, else the CPU.

    Raises:
        ConfigError: Not a device, or one that this machine does not have.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"there is no device {name!r}.", fix="use cpu, cuda, cuda:0 or mps.") from None
    if device.type == "cuda":
        _check_cuda(device)
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("the device 'mps' is not on this machine.", fix="use cpu, or leave --device out.")
    elif device.type != "cpu":
        raise ConfigError(f"the device {name!r} is not supported.", fix="use cpu, cuda, cuda:0 or mps.")
    return device


def resolve_dtype(name: str | None) -> torch.dtype:
    """Precision of the weights for its short name; without a name, fp32.

    Raises:
        ConfigError: None of `DTYPES`.
    """
    if name is not None and name not in DTYPES:
        raise ConfigError(f"there is no precision {name!r}.", fix=f"use {', '.join(DTYPES)}.")
    return DTYPES[name or "fp32"]


def _check_cuda(device: torch.device) -> None:
    if not torch.cuda.is_available():
        raise ConfigError(
            f"the device {str(device)!r} needs a CUDA GPU and PyTorch finds none.",
            fix="leave --device out, or run `vljepa doctor` to see why.",
        )
    count = torch.cuda.device_count()
    if device.index is not None and device.index >= count:
        raise ConfigError(
            f"the device {str(device)!r} is not there: PyTorch finds {count} GPU(s).",
            fix=f"use cuda:0 to cuda:{count - 1}, or leave --device out.",
        )
