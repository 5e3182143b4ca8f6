"""Autocast by capability. Master weights are fp32 whatever is chosen here."""

from __future__ import annotations

from typing import Literal

import torch

from vljepa.errors import ConfigError

Precision = Literal["no", "bf16", "fp16"]


def choose_precision(requested: Literal["auto", "fp32", "bf16", "fp16"], *, device: torch.device) -> Precision:
    """Accelerate's name of the mixed precision to run in.

    `auto` is bf16 on a GPU or CPU that has it in hardware (AMX or AVX-512 BF16: 1.9 times fp32 here, see docs/LOG.md);
    elsewhere fp32, since emulated bf16 is three times slower.

    Raises:
        ConfigError: fp16 on a CPU.
    """
    if requested == "fp16" and device.type == "cpu":
        raise ConfigError("train.precision = 'fp16' does not run on a CPU.", fix="use auto, fp32 or bf16.")
    if requested == "auto":
        return "bf16" if _computes_bf16_quickly(device) else "no"
    return "no" if requested == "fp32" else requested


def _computes_bf16_quickly(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # PyTorch has no public name for these questions yet.
    has_hardware = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device.type == "cpu" and bool(has_hardware)
