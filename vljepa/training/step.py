"""One training step's loss and gradients: groups of samples, each contrasted by itself, over all processes.

Every process embeds its share of each group; the embeddings are gathered, so that each computes the loss of the whole
global batch, and gradients averaged over processes are those of one process with all of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch import Tensor, nn

from vljepa.backends import backend_of
from vljepa.backends.pooling import masked_mean
from vljepa.configs import ObjectiveConfig, RunConfig, VLJEPAConfig
from vljepa.data.collate import Batch, to_device
from vljepa.errors import ConfigError
from vljepa.models.modeling import VLJEPA
from vljepa.models.outputs import VISION, VLJEPAOutput
from vljepa.objectives import OBJECTIVES, TERMS, Group, Positives, gather_with_gradient, grad_cache
from vljepa.training.answers import AnswerBank
from vljepa.training.pieces import Tensors, join, split

_FIRST_BIAS = -10.0
_ROWS = ("prediction", "target", "image", "answer_logits")
_IDS = ("pair_ids", "text_ids", "answer_ids")
_ENCODED = {VISION: ("pixel_values",), ("target_features",): ("target_ids", "target_mask")}
"""Tensors of a batch that come from a frozen encoder, and those that it made them of."""


class Embedding(nn.Module):
    """The model with what an objective trains beside it: what Accelerate wraps.

    Args:
        model: The model.
        config: The objective.
        answers: Of the training questions, where the objective asks for them.
    """

    def __init__(self, model: VLJEPA, config: ObjectiveConfig, *, answers: AnswerBank | None = None) -> None:
        super().__init__()
        self.model = model
        self.extra = nn.ParameterDict()
        if config.name == "sigmoid":
            self.extra["bias"] = nn.Parameter(torch.full((1,), _FIRST_BIAS))
        self.answers = answers
        self.keep_frozen = config.grad_cache is not None
        """Give what frozen encoders made of pixels and texts too."""
        self.alignment = nn.Linear(model.x_encoder.width, model.config.embed_dim) if config.alignment > 0 else None

    @property
    def _no_split_modules(self) -> list[str]:
        """Accelerate's question which layers FSDP2 gathers one at a time: those that may be checkpointed."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        return sorted({type(one).__name__ for one in self.modules() if isinstance(one, GradientCheckpointingLayer)})

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
        if self.keep_frozen:
            rows |= self._frozen(batch, output)
        if "bias" in self.extra:
            rows["bias"] = self.extra["bias"].clone()  # DDP does not find a parameter that is an output itself
        if self.alignment is not None and output.vision is not None:
            vision = output.vision
            mean_BD = masked_mean(vision.tokens_BND.to(self.alignment.weight.dtype), vision.mask_BN)
            rows["image"] = nn.functional.normalize(self.alignment(mean_BD).float(), dim=-1)
        if self.answers is not None and output.vision is not None and not bool(batch["gate_only"]):
            answers_AD = self.model.project_text(self.answers.features_AE)
            cosine_BA = self.model.similarity(output.prediction_BD, answers_AD)
            rows["answer_logits"] = output.logit_scale * cosine_BA + self.answers.log_share_A
        return rows

    def _frozen(self, batch: Tensors, output: VLJEPAOutput) -> dict[str, Tensor]:
        """What a second pass over the batch may read in place of what stands in `_ENCODED`."""
        found: dict[str, Tensor] = {}
        if "pixel_values" in batch and output.vision is not None:
            found |= output.vision.as_batch()
        if "target_ids" in batch and output.features_BE is not None and not self.model.config.y_encoder.trainable:
            found["target_features"] = output.features_BE
        return found


class Step:
    """Computes a step's loss and gradients.

    Args:
        run: The recipe.
        wrapped: An `Embedding`, as Accelerate prepared it.
        accelerator: Of the run.
        texts: Those that may be cut to the longest of a piece, from `cut_texts`.
    """

    def __init__(self, run: RunConfig, *, wrapped: nn.Module, accelerator: Accelerator, texts: Sequence[str]) -> None:
        self.config = run.objective
        self.seed = run.train.seed
        self.buckets = run.train.length_buckets
        self.texts = texts if self.buckets > 1 else ()
        self.wrapped = wrapped
        self.accelerator = accelerator

    def loss(self, batches: Sequence[Batch], *, step: int) -> Tensor:
        """Loss of all groups, which count the same however many samples they have. With a graph, unless cached.

        Args:
            batches: This process's share of each group, from `shared`.
            step: Number of the step.
        """
        device = self.accelerator.device
        groups = [
            [to_device(piece, device) for piece in split(batch.tensors, self._count(batch.size), texts=self.texts)]
            for batch in batches
        ]
        if self.config.grad_cache is None:
            outputs = iter(self._embed([piece for pieces in groups for piece in pieces]))
            losses = [self._group(join([next(outputs) for _ in pieces]), pieces, step=step) for pieces in groups]
        else:
            losses = [
                self._cached(pieces, step=step, groups=len(groups), sync=number == len(groups))
                for number, pieces in enumerate(groups, start=1)
            ]
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

    def _embed(self, batches: Sequence[Tensors]) -> list[dict[str, Tensor]]:
        with self.accelerator.autocast():  # FSDP2 knows nothing of it, DDP does it again
            outputs: list[dict[str, Tensor]] = self.wrapped(batches)
        return outputs

    def _count(self, rows: int) -> int:
        """Pieces of a group: as many in every process, for FSDP2 gathers the layers for each of them.

        No more than the fewest rows of any process, so that none is empty: where unreadable pictures leave one process
        next to nothing, pieces of the others are larger than `grad_cache`.
        """
        size = self.config.grad_cache
        wanted = max(self.buckets, 1 if size is None else -(-rows // size))
        if self.accelerator.num_processes == 1 or (size is None and self.buckets == 1):
            return min(wanted, rows)
        numbers = torch.tensor([-wanted, rows], device=self.accelerator.device)
        dist.all_reduce(numbers, op=dist.ReduceOp.MIN)
        most, fewest_rows = numbers.tolist()
        return min(-int(most), int(fewest_rows))

    def _cached(self, pieces: list[dict[str, Tensor]], *, step: int, groups: int, sync: bool) -> Tensor:
        def embed(number: int) -> dict[str, Tensor]:
            """Frozen encoders run once: what they give takes the place of pixels and texts for the second pass."""
            [outputs] = self._embed([pieces[number]])
            for encoded, inputs in _ENCODED.items():
                found = {name: outputs.pop(name) for name in encoded if name in outputs}
                if found:
                    pieces[number] = {name: one for name, one in pieces[number].items() if name not in inputs} | found
            return outputs

        def no_sync() -> AbstractContextManager[object]:
            return self.accelerator.no_sync(self.wrapped)

        with nullcontext() if sync else no_sync():
            loss = grad_cache(
                embed,
                chunks=len(pieces),
                loss=lambda outputs: self._group(outputs, pieces, step=step) / groups,
                backward=self.accelerator.backward,
                no_sync=no_sync if sync else nullcontext,
            )
        return loss * groups

    def _group(self, outputs: Tensors, pieces: Sequence[Tensors], *, step: int) -> Tensor:
        """Loss of one group over all processes."""
        config = self.config
        rows = {name: gather_with_gradient(outputs[name]) for name in _ROWS if name in outputs}
        if config.stop_gradient:
            rows["target"] = rows["target"].detach()
        ids = {
            name: gather_with_gradient(torch.cat([piece[name] for piece in pieces]))
            for name in _IDS
            if name in pieces[0]
        }
        group = Group(
            rows=rows | ids,
            scale=outputs["scale"].mean(dim=0, keepdim=True),  # of as many pieces as there are
            positives=Positives(ids["pair_ids"], ids["text_ids"]),
            bias=outputs["bias"].mean(dim=0, keepdim=True) if "bias" in outputs else None,
            tile=config.tile,
            seed=self.seed * 1_000_003 + step,
        )
        loss = OBJECTIVES[config.name](group)
        for name, (needed, term) in TERMS.items():
            weight = getattr(config, name)
            if weight > 0 and (needed is None or needed in rows):
                loss = loss + weight * term(group)
        return loss


def cut_texts(config: VLJEPAConfig) -> tuple[str, ...]:
    """Texts of a batch whose padding may be cut; some towers want all positions of their context."""
    return ("query",) if backend_of(config.y_encoder.part).fixed_length else ("query", "target")


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
