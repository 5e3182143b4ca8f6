"""AdamW with its parameter groups, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from vljepa.configs import OptimConfig


def group_of(name: str) -> str:
    """Group of a parameter: the Y-Encoder's head and a Predictor's gate by themselves, else the top module.

    Example:
        >>> group_of("y_encoder.backbone.layer.weight"), group_of("y_encoder.head.bias"), group_of("log_scale")
        ('y_encoder', 'y_encoder_head', 'temperature')
    """
    if name.startswith("y_encoder.head."):
        return "y_encoder_head"
    if name.startswith("predictor.") and ".gate." in name:
        return "gate"
    return "temperature" if name == "log_scale" else name.split(".")[0]


def parameter_groups(model: nn.Module, *, config: OptimConfig) -> list[dict[str, Any]]:
    """AdamW's groups over the trainable parameters.

    The Y-Encoder's backbone learns at `y_encoder_lr_scale`. Vectors are not decayed: norms, biases, the temperature.

    Returns:
        Groups with `params`, `name`, `lr_scale`, `weight_decay` and `decayed`, in the model's order.
    """
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        group, decayed = group_of(name), parameter.ndim > 1
        settings = {
            "params": [],
            "name": group,
            "lr_scale": config.y_encoder_lr_scale if group == "y_encoder" else 1.0,
            "weight_decay": config.weight_decay if decayed else 0.0,
            "decayed": decayed,
        }
        groups.setdefault((group, decayed), settings)["params"].append(parameter)
    return list(groups.values())


def build_optimizer(model: nn.Module, *, config: OptimConfig, extra: Sequence[nn.Parameter] = ()) -> torch.optim.AdamW:
    """AdamW over `parameter_groups`.

    Args:
        model: What is trained.
        config: Learning rates and decay.
        extra: Parameters of the objective, which are not decayed.
    """
    groups = parameter_groups(model, config=config)
    if extra:
        groups.append(
            {"params": list(extra), "name": "objective", "lr_scale": 1.0, "weight_decay": 0.0, "decayed": False}
        )
    fused = config.fused if config.fused is not None else groups[0]["params"][0].device.type == "cuda"
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=fused)


def learning_rate(step: int, *, config: OptimConfig, steps: int) -> float:
    """Learning rate of a step: linear warm-up, then constant, or a cosine that would reach 0 after the last step.

    Args:
        step: Counted from 0.
        config: Peak, warm-up and shape.
        steps: Length of the run.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.lr
    progress = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.lr * 0.5 * (1.0 + math.cos(math.pi * progress))


def weight_decay(step: int, *, config: OptimConfig, steps: int) -> float:
    """Weight decay of a step: constant, or a cosine from the first step to the last.

    Args:
        step: Counted from 0.
        config: Where it begins and ends.
        steps: Length of the run.
    """
    if config.weight_decay_end is None:
        return config.weight_decay
    progress = step / max(1, steps - 1)
    left = 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.weight_decay_end + (config.weight_decay - config.weight_decay_end) * left


def set_weight_decay(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group that is decayed the weight decay."""
    for group in optimizer.param_groups:
        if group["decayed"]:
            group["weight_decay"] = value


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def trainable_report(model: nn.Module) -> list[tuple[str, int, int, bool]]:
    """Rows (module, tensors, parameters, trainable), so that nobody freezes a fresh projection unseen."""
    rows: dict[tuple[str, bool], list[int]] = {}
    for name, parameter in model.named_parameters():
        if ".original_module." in name:  # peft keeps what a module was before it was trained whole
            continue
        group = ".".join(name.split(".")[:2]) if name.count(".") > 1 else name.split(".")[0]
        rows.setdefault((group, parameter.requires_grad), []).append(parameter.numel())
    return [(group, len(sizes), sum(sizes), trainable) for (group, trainable), sizes in rows.items()]
