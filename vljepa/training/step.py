"""One training step's loss and gradients: groups of samples, each contrasted by itself, over all processes.

Every process embeds its share of each group; the embeddings are gathered, so that each computes the loss of the whole
global batch, and gradients averaged over processes are those of one process with all of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from vljepa.configs import ObjectiveConfig
from vljepa.data.collate import Batch, to_device
from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA
from vljepa.models.pooling import masked_mean
from vljepa.objectives import (
    Positives,
    cosine_loss,
    gather_with_gradient,
    grad_cache,
    infonce,
    l1_loss,
    l2_loss,
    sigmoid_loss,
    sigreg,
)

Tensors = Mapping[str, Tensor]
_FIRST_BIAS = -10.0


class Embedding(nn.Module):
    """The model with what an objective trains beside it: what Accelerate wraps.

    Args:
        model: The model.
        config: The objective.
    """

    def __init__(self, model: VLJEPA, config: ObjectiveConfig) -> None:
        super().__init__()
        self.model = model
        self.extra = nn.ParameterDict()
        if config.name == "sigmoid":
            self.extra["bias"] = nn.Parameter(torch.full((1,), _FIRST_BIAS))
        self.alignment = nn.Linear(model.x_encoder.width, model.config.embed_dim) if config.alignment > 0 else None

    def objective_parameters(self) -> dict[str, nn.Parameter]:
        """What is trained and is not of the model, by name."""
        return {name: value for name, value in self.named_parameters() if not name.startswith("model.")}

    def forward(self, batches: Sequence[Tensors]) -> list[dict[str, Tensor]]:
        """Rows [B, D] `prediction` and `target`, `scale` [1], and what the objective asks for, of each batch.

        All groups go through in one call, so that DDP sees the whole step.
        """
        return [self._embed(batch) for batch in batches]

    def _embed(self, batch: Tensors) -> dict[str, Tensor]:
        output = self.model(batch)
        rows = {"prediction": output.prediction_BD, "target": output.target_BD, "scale": output.logit_scale}
        if "bias" in self.extra:
            rows["bias"] = self.extra["bias"].clone()  # DDP does not find a parameter that is an output itself
        if self.alignment is not None and output.vision is not None:
            vision = output.vision
            mean_BD = masked_mean(vision.tokens_BND.to(self.alignment.weight.dtype), vision.mask_BN)
            rows["image"] = nn.functional.normalize(self.alignment(mean_BD).float(), dim=-1)
        return rows


class Step:
    """Computes a step's loss and gradients.

    Args:
        config: The objective.
        wrapped: An `Embedding`, as Accelerate prepared it.
        accelerator: Of the run.
        seed: Of the run.
    """

    def __init__(self, config: ObjectiveConfig, *, wrapped: nn.Module, accelerator: Accelerator, seed: int) -> None:
        self.config = config
        self.wrapped = wrapped
        self.accelerator = accelerator
        self.seed = seed

    def loss(self, batches: Sequence[Batch], *, step: int) -> Tensor:
        """Loss of all groups, which count the same however many samples they have. With a graph, unless cached.

        Args:
            batches: This process's share of each group, from `shared`.
            step: Number of the step.
        """
        tensors = [to_device(batch.tensors, self.accelerator.device) for batch in batches]
        if self.config.grad_cache is None:
            outputs = self.wrapped(tensors)
            return torch.stack(
                [self._group(one, batch, step=step) for one, batch in zip(outputs, tensors, strict=True)]
            ).mean()
        losses = []
        for number, batch in enumerate(tensors):
            last = number + 1 == len(tensors)
            losses.append(self._cached(batch, step=step, groups=len(tensors), sync=last))
        return torch.stack(losses).mean()

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss; with GradCache they are there already."""
        if self.config.grad_cache is None:
            self.accelerator.backward(loss)

    def shared(self, batches: Sequence[Batch]) -> list[Batch]:
        """Those groups of which every process has something to embed; unreadable pictures may leave it nothing."""
        sizes = torch.tensor([batch.size for batch in batches], device=self.accelerator.device)
        if self.accelerator.num_processes > 1:
            dist.all_reduce(sizes, op=dist.ReduceOp.MIN)
        return [batch for batch, size in zip(batches, sizes.tolist(), strict=True) if size > 0]

    def _cached(self, batch: Tensors, *, step: int, groups: int, sync: bool) -> Tensor:
        rows, size = len(batch["pair_ids"]), self.config.grad_cache
        assert size is not None
        count = -(-rows // size)
        chunks = [_rows(batch, slice(start * size, (start + 1) * size)) for start in range(count)]

        def embed(chunk: int) -> dict[str, Tensor]:
            outputs: list[dict[str, Tensor]] = self.wrapped([chunks[chunk]])
            return outputs[0]

        def no_sync() -> AbstractContextManager[object]:
            return self.accelerator.no_sync(self.wrapped)

        with nullcontext() if sync else no_sync():
            loss = grad_cache(
                embed,
                chunks=count,
                loss=lambda outputs: self._group(outputs, batch, step=step) / groups,
                backward=self.accelerator.backward,
                no_sync=no_sync,
            )
        return loss * groups

    def _group(self, outputs: Tensors, batch: Tensors, *, step: int) -> Tensor:
        """Loss of one group over all processes."""
        config = self.config
        rows = {
            name: gather_with_gradient(outputs[name]) for name in ("prediction", "target", "image") if name in outputs
        }
        prediction_BD, target_BD = rows["prediction"], rows["target"]
        if config.stop_gradient:
            target_BD = target_BD.detach()
        scale = outputs["scale"].mean(dim=0, keepdim=True)  # of as many chunks as there are
        positives = Positives(gather_with_gradient(batch["pair_ids"]), gather_with_gradient(batch["text_ids"]))
        if config.name == "infonce":
            loss = infonce(prediction_BD, target_BD, logit_scale=scale, positives=positives, tile=config.tile)
        elif config.name == "sigmoid":
            bias = outputs["bias"].mean(dim=0, keepdim=True)
            loss = sigmoid_loss(prediction_BD, target_BD, logit_scale=scale, logit_bias=bias, positives=positives)
        else:
            loss = {"cosine": cosine_loss, "l1": l1_loss, "l2": l2_loss}[config.name](prediction_BD, target_BD)
        if "image" in rows:
            aligned = infonce(rows["image"], target_BD, logit_scale=scale, positives=positives, tile=config.tile)
            loss = loss + config.alignment * aligned
        if config.sigreg > 0:
            seed = self.seed * 1_000_003 + step
            spread = sigreg(prediction_BD, seed=seed) + sigreg(target_BD, seed=seed)
            loss = loss + config.sigreg * spread / 2
        return loss


def refuse_accumulation(*, reason: str, instead: str) -> None:
    """Refuse gradient accumulation, which `accelerate launch` may ask for: no step here is made of several.

    Args:
        reason: What it would do.
        instead: The keys to use.

    Raises:
        ConfigError: With both.
    """
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps not in ("1", ""):
        raise ConfigError(
            f"gradient accumulation over {steps} steps is asked for: {reason}.", fix=f"unset it, and {instead}."
        )


def _rows(batch: Tensors, rows: slice) -> dict[str, Tensor]:
    """Some rows of every tensor that has rows."""
    return {name: tensor[rows] if tensor.ndim > 0 else tensor for name, tensor in batch.items()}
