"""Everything that does not depend on the run: settings, parts, caches, candidates; and each learner at its start."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from eval.core.provenance import ROOT
from eval.studies.comparison.data import Images, WithWords, corpus, read_images
from eval.studies.comparison.learners import EmbeddingLearner, Learner, TokenLearner, check_sizes, trained_parameters
from eval.studies.comparison.vlm import build_vlm
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig, VLJEPAConfig, load_run_config
from vljepa.configs.decoder import GenerationConfig
from vljepa.data.collate import StepBatches
from vljepa.data.features import FeatureCache
from vljepa.methods.vision_language.inputs import prepare
from vljepa.models.cpu import keep_freed_memory
from vljepa.training.precision import choose_precision
from vljepa.training.sharding import forget_last_run

ARMS = ("ours", "vlm")
MARGINAL = 64
"""Validation images for the mean likelihood of a text."""


@dataclass(frozen=True)
class Setting:
    """What is compared: the suite's settings, the prepared folder, that of photos.jsonl, and one for the runs."""

    suite: dict[str, Any]
    data: Path
    photos: Path
    work: Path

    def until(self, step: int) -> list[int]:
        """Checkpoints up to a step, which is one of them."""
        checkpoints = [one for one in self.suite["checkpoints"] if one <= step]
        assert checkpoints[-1] == step, (step, checkpoints)
        return checkpoints

    def recipe(self, *, lr: float, seed: int) -> RunConfig:
        """The shared recipe of one run."""
        places = [f"data.root={self.data}", f"data.cache.folder={self.work / 'cache'}"]
        return load_run_config(ROOT / self.suite["recipe"], [*places, f"optim.lr={lr}", f"train.seed={seed}"])

    def digest(self) -> str:
        """Hash of what decides a run's numbers beside arm, rate and seed; not where files are, nor how long it is."""
        places: dict[str, Any] = {
            "data": {"root": True, "cache": {"folder"}},
            "train": {"steps", "eval_every", "output"},
        }
        recipe = self.recipe(lr=1.0, seed=0).model_dump(mode="json", exclude_defaults=True, exclude=places)
        return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


class Shared:
    """Shared parts of all runs of a process."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        keep_freed_memory()
        run = setting.recipe(lr=1.0, seed=0)
        self._precision = choose_precision(run.train.precision, device=torch.device("cpu"))
        self.accelerator = self._fresh_accelerator()
        assert isinstance(run.model, VLJEPAConfig)
        self.base = VLJEPA.from_parts(run.model).eval()
        self.processor = VLJEPAProcessor(self.base.config, tokenizers=self.base.tokenizers)
        assert run.data.cache is not None
        self.reader = FeatureCache(run.data.cache, fingerprint=self.base.x_encoder_fingerprint())

    @cached_property
    def texts(self) -> list[str]:
        """What the token VLM must be able to write."""
        return corpus(self.setting.data)

    @cached_property
    def marginal(self) -> list[Path]:
        """Validation images, evenly spaced: over them a text's own likelihood is the mean."""
        paths = [path for source in self.images("validation").values() for path in source.paths]
        return paths[:: max(1, len(paths) // MARGINAL)][:MARGINAL]

    def images(self, split: str) -> dict[str, Images]:
        """Held-out images, encoded."""
        setting = self.setting
        found = read_images(setting.data, setting.photos, split=split, style=setting.suite["emoji_style"])
        paths = [path for source in found.values() for path in source.paths]
        skipped = self.reader.fill(dict.fromkeys(paths, 1), model=self.base, processor=self.processor)
        assert not skipped, skipped
        return found

    def blank(self) -> torch.Tensor:
        """Pixels of one image."""
        size = self.base.config.x_encoder.image.size
        assert size is not None, "the backend has been asked"
        return torch.zeros(1, 1, 3, *size)

    def _fresh_accelerator(self) -> Accelerator:
        """One to a learner: it holds all that it has prepared, and a trainer in between makes it unusable."""
        forget_last_run()
        return Accelerator(mixed_precision=self._precision, cpu=True)

    def learner(self, arm: str, *, lr: float, seed: int) -> Learner:
        """A learner at the start of its training: the seed decides what is not pretrained."""
        self.accelerator = self._fresh_accelerator()
        torch.manual_seed(seed)
        if arm == "vlm":
            vlm, tokenizer = build_vlm(
                self.base.config.predictor,
                vision_width=self.base.x_encoder.width,
                visual_tokens=self.base.encode_vision(self.blank()).tokens_BND.shape[1],
                texts=self.texts,
                generation=GenerationConfig(max_new_tokens=self.setting.suite["max_new_tokens"]),
            )
            check_sizes(ours=trained_parameters(self.base), opponent=trained_parameters(vlm))
            return TokenLearner(vlm, tokenizer, reader=self.reader, accelerator=self.accelerator)
        return EmbeddingLearner(
            VLJEPA.from_parts(self.base.config),
            self.processor,
            reader=self.reader,
            run=self.setting.recipe(lr=lr, seed=seed),
            accelerator=self.accelerator,
        )

    def batches(self, learner: Learner, *, lr: float, seed: int) -> StepBatches:
        """Batches by step: for either learner the same samples, targets and views."""
        run = self.setting.recipe(lr=lr, seed=seed)
        batches = prepare(run, model=self.base, processor=self.processor).batches
        if isinstance(learner, TokenLearner):
            longest = self.setting.suite["max_new_tokens"]
            batches.collator = WithWords(batches.collator, learner.tokenizer, max_tokens=longest)  # type: ignore[assignment]
        return batches
