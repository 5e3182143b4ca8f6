"""LLM-JEPA: the next token, and one view of a pair from the other one, in the space of latents.

Source: arXiv 2509.14252, and 2602.22617 for semantic tube prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.checkpoint.llm_jepa import adapted, load_language_model, read_into, write_llm_jepa
from vljepa.configs import LLMJEPAConfig, RunConfig
from vljepa.data.collate import Group
from vljepa.data.sampling import StepSampler
from vljepa.data.sources import source_path
from vljepa.data.text_pairs import TextPair, read_pairs
from vljepa.errors import ConfigError, DataError
from vljepa.methods.language.speaker import Speaker
from vljepa.methods.protocol import Inputs, Method, Scope, TrainingModule
from vljepa.methods.refusals import refuse_foreign
from vljepa.metrics.collapse import effective_rank
from vljepa.models.language.llm_jepa import LLMJEPA, distance
from vljepa.models.language.packing import Pair, pack
from vljepa.models.layers.sharded import whole_state
from vljepa.models.types import Batch
from vljepa.objectives import gather_with_gradient
from vljepa.validation.tasks import Metrics

PANEL = 200
"""Pairs of a validation, evenly spaced over the source."""


class PairBatches(torch.utils.data.Dataset[list[Group]]):
    """Pairs by step: a pure function of (seed, step).

    Args:
        sources: Tokenised pairs of each source.
        run: The recipe.
        packing: What `pack` is given beside pairs and `views`.
        shard: Number of this process and of all.

    Raises:
        ConfigError: There are fewer samples than processes, or a source gets none.
    """

    def __init__(
        self, sources: Sequence[Sequence[Pair]], *, run: RunConfig, packing: Mapping[str, Any], shard: tuple[int, int]
    ) -> None:
        self.size, self.seed = run.train.batch_size, run.train.seed
        if self.size < shard[1]:
            raise ConfigError(
                f"train.batch_size = {self.size} is fewer than the {shard[1]} processes.", fix="raise it."
            )
        assert isinstance(run.model, LLMJEPAConfig)
        self.sources, self.packing, self.shard, self.config = sources, packing, shard, run.model
        self.sampler = StepSampler(
            [len(one) for one in sources],
            weights=[one.weight for one in run.data.train],
            names=[one.name for one in run.data.train],
            batch_size=self.size,
            seed=self.seed,
        )

    def __getitem__(self, step: int) -> list[Group]:
        number, count = self.shard
        draws = self.sampler.batch(step)[self.size * number // count : self.size * (number + 1) // count]
        pairs = [self.sources[one.source][one.row] for one in draws]
        return [Group(Batch(packed=pack(pairs, views=self.with_views(step), **self.packing)))]

    def with_views(self, step: int) -> bool:
        """Whether a step has the objective: the same for all processes, and for a run that goes on."""
        if not self.config.weight:
            return False
        draw = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        return float(torch.rand((), generator=draw)) >= self.config.loss_dropout

    def order(self) -> dict[str, Any]:
        """What the samples of a step depend on, as plain data: a resumed run must have it equal."""
        rows = [len(one) for one in self.sources]
        return {"seed": self.seed, "rows": rows, "samples per step": list(self.sampler.quotas)}


class LLMJepaMethod(Method):
    """See `Method`.

    Args:
        run: The recipe.
        given: Model to train, instead of `run.model`.
    """

    name = "llm_jepa"
    texts = "optional"
    model: LLMJEPA

    def __init__(self, run: RunConfig, *, given: nn.Module | None = None) -> None:
        assert given is None
        super().__init__(run, given=given)
        assert isinstance(run.model, LLMJEPAConfig)
        self.config = run.model

    def check(self) -> None:
        """Refuse what the recipe alone shows to be impossible.

        Raises:
            ConfigError: A section of another method, or a setting without effect.
        """
        refuse_foreign(self.run, self.name)

    def scope(self) -> Scope:
        """Sizes of the model, which is loaded for it, and pairs of the sources that are there."""
        places = [Path(source_path(one, self.run.data.root)) for one in self.run.data.train]
        missing = tuple(str(place) for place in places if not place.exists())
        found = Scope.of(load_language_model(self.config)[0])
        rows = None if missing else sum(len(read_pairs(place)) for place in places)
        return Scope(rows=rows, missing=missing, trained=found.trained, parameters=found.parameters)

    def build(self, checkpoint: Path | None, *, device: torch.device) -> LLMJEPA:
        """The language model that the config starts from, with the checkpoint's weights.

        Raises:
            ConfigError: There is no such model.
            CheckpointError: The checkpoint is of another one.
        """
        language_model, tokenizer = load_language_model(self.config, seed=self.run.train.seed)
        if self.config.lora is not None:
            language_model = adapted(language_model, tokenizer, self.config, seed=self.run.train.seed)
        self.model = LLMJEPA(self.config, language_model)
        self.speaker = Speaker(self.model, tokenizer)
        if checkpoint is not None:
            read_into(self.model, checkpoint)
        return self.model.to(device)

    def prepare(self, model: LLMJEPA, *, shard: tuple[int, int]) -> Inputs:
        """Read and tokenise all sources.

        Raises:
            DataError: A source is not usable.
        """
        del model
        run = self.run
        train, self.panels = [], {}
        self.left_out = 0
        for source in run.data.train:
            pairs = read_pairs(source_path(source, run.data.root))
            kept = [one for one in map(self.speaker.tokens, pairs) if self._fits(one)]
            if not kept:
                raise DataError(
                    f"no pair of {source.name!r} has at most {self.config.max_length} tokens.",
                    fix="raise model.max_length.",
                )
            self.left_out += len(pairs) - len(kept)
            train.append(kept)
        for source in run.data.validation:
            pairs = read_pairs(source_path(source, run.data.root))
            self.panels[source.name] = pairs[:: -(-len(pairs) // PANEL)]
        batches = PairBatches(train, run=run, packing=self.speaker.packing(), shard=shard)
        return Inputs(batches=batches, workers=run.data.workers)

    def _fits(self, pair: Pair) -> bool:
        return len(pair.first) + len(pair.second) + max(1, self.config.predictor_tokens) <= self.config.max_length

    def module(self, model: LLMJEPA) -> TrainingModule:
        """The model; its rows are losses and latents of pairs."""
        return TrainingModule(model, model.forward)

    def loss(self, rows: Mapping[str, Tensor], batches: Sequence[Batch], *, step: int) -> Tensor:
        """Next tokens, and where the step has views the weighted objective, over the pairs of all processes."""
        del batches, step
        config, gathered = self.config, {name: gather_with_gradient(one) for name, one in rows.items()}
        total = gathered["next_token"].sum() / gathered["tokens"].sum()
        if "predicted" in gathered:
            total = total + config.weight * self._distance(gathered)
        if "bend" in gathered:
            total = total + config.straightness * gathered["bend"].mean()
        return total

    def _distance(self, rows: Mapping[str, Tensor]) -> Tensor:
        return distance(
            rows["predicted"], rows["target"], objective=self.config.objective, temperature=self.config.temperature
        )

    @torch.no_grad()
    def validate(self) -> Metrics:
        """Of every source `exact` and `prefix` match of greedy continuations, the losses, and what latents tell.

        `r1` is the share of first views whose prediction is nearest to their own second view's latents, among those of
        the panel; `effective_rank` of the first views' predictions. `mean` is the mean of `exact` over sources.
        """
        was_training = self.model.training
        self.model.eval()
        metrics: Metrics = {}
        for name, pairs in self.panels.items():
            written = self.speaker.generate([one.first for one in pairs])
            right = [text == one.second for text, one in zip(written, pairs, strict=True)]
            begun = [text.startswith(one.second) for text, one in zip(written, pairs, strict=True)]
            found = self.measured(pairs) | {"exact": sum(right) / len(pairs), "prefix": sum(begun) / len(pairs)}
            metrics |= {f"{name}/{key}": value for key, value in found.items()}
        if self.panels:
            metrics["mean"] = sum(metrics[f"{name}/exact"] for name in self.panels) / len(self.panels)
        self.model.train(was_training)
        return metrics

    @torch.no_grad()
    def measured(self, pairs: Sequence[TextPair]) -> dict[str, float]:
        """Losses of pairs, and what their latents are good for: see `validate`."""
        rows = self.speaker.rows(pairs)
        cosine_BB = F.normalize(rows["predicted"], dim=-1) @ F.normalize(rows["target"], dim=-1).T
        others_BB = cosine_BB.masked_fill(
            torch.eye(len(cosine_BB), dtype=torch.bool, device=cosine_BB.device), -torch.inf
        )
        return {
            "next_token": float(rows["next_token"].sum() / rows["tokens"].sum()),
            "distance": float(self._distance(rows)),
            "cosine": float(cosine_BB.diagonal().mean()),
            "r1": float((cosine_BB.diagonal() > others_BB.amax(1)).float().mean()),
            "effective_rank": effective_rank(rows["predicted"].cpu().numpy()),
        }

    def gather(self, model: LLMJEPA, *, keep: bool) -> Callable[[Path], object]:
        """See `Method`: a folder of transformers."""
        state, tokenizer = whole_state(model.language_model.state_dict(), keep=keep), self.speaker.tokenizer
        return lambda folder: write_llm_jepa(model, tokenizer, state, folder)

    def load(self, model: LLMJEPA, folder: Path) -> None:
        """See `Method`."""
        read_into(model, folder)

    def notes(self, metrics: Metrics) -> list[str]:
        """Pairs that were too long."""
        del metrics
        return [f"{self.left_out} pairs are longer than model.max_length and were left out"] if self.left_out else []
