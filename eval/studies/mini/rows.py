"""All rows of the retrieval table for one seed: every baseline refitted, and the model with its ablations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, reduce
from itertools import product
from operator import add, itemgetter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eval.core.console import log
from eval.core.embedding import Rows
from eval.core.prepared import Captioned
from eval.studies.mini.baselines import HIDDEN, CaptionPairs, Head, HeadConfig, Ridge, TrainSet, conse, train_head
from eval.studies.mini.features import Features
from eval.studies.mini.inputs import PHOTO_VIEWS, Inputs, Job
from eval.tasks.pools import Pool, Row, main_score
from vljepa.configs import LabelPriorConfig
from vljepa.methods.vision_language.label_prior import label_names
from vljepa.models.residuals import Ablation

Images = Callable[[Sequence[Path]], Tensor]
Shown = tuple[float, int]
SHOWN: tuple[Shown, ...] = ((1.0, 10), (2.0, 50))
"""Temperature and top-k of the label distribution that a ridge is shown; plain ConSE always has the first."""

MODEL, MLP, CONSE_RIDGE = "model", "mlp_all", "conse_ridge"
LINEAR_PHOTOS = "linear_photos_conse_ridge"
TITLES = {
    "chance": "chance",
    "conse": "ConSE, no training",
    CONSE_RIDGE: "ConSE + ridge (captions only)",
    "linear_all": "linear, trained on all",
    MLP: "(m) MLP, trained on all",
    "mlp_all_conse": "the same MLP + ConSE",
    "mlp_all_conse_ridge": "the same MLP + ConSE + ridge",
    LINEAR_PHOTOS: "(c) linear on photos + ConSE + ridge",
    LINEAR_PHOTOS + "_views": "(c) with 8 views",
    MODEL: "**vljepa mini**",
    MODEL + "_views": "vljepa mini, 8 views",
    MODEL + "_no_residual": "vljepa mini, residual zeroed",
    MODEL + "_no_learned": "vljepa mini, learned part zeroed (residual alone)",
}


class Baselines:
    """The baselines of one seed, fitted when asked for."""

    def __init__(self, features: Features, inputs: Inputs, job: Job) -> None:
        self.features, self.inputs, self.job = features, inputs, job
        prior = features.model.config.residual
        labels = label_names(prior if isinstance(prior, LabelPriorConfig) else LabelPriorConfig())
        self.labels_KE = features.texts(labels)

    def rows(self) -> list[Row]:
        """All baselines, weakest idea first."""
        ridge, shown, ridge_chosen = self._ridge()
        emoji, photos = self.inputs.validation["emoji"], self.inputs.validation["photos"]
        both = [emoji, photos]
        linear, linear_chosen = self._trained_on_all(hidden=0, pools=both)
        # The MLP is the rival on emoji: chosen by emoji alone, it is as strong there as it gets.
        mlp, mlp_chosen = self._trained_on_all(hidden=HIDDEN, pools=[emoji])
        photo, photo_chosen = self._trained_on_photos()
        linear_size, mlp_size = linear.parameters_count(), mlp.parameters_count()
        through = self._through(ridge, shown)

        def parts(view: int) -> list[Images]:
            return [self._head(photo, view), lambda paths: self._conse(paths, view), self._through(ridge, shown, view)]

        # Row (c): one view, and with the parts averaged over the views.
        one_view = self._fused(LINEAR_PHOTOS, parts(0), [photos], photo.parameters_count())
        weights = [1.0, *one_view.chosen.values()]
        one_view = replace(one_view, chosen=one_view.chosen | photo_chosen)
        views = average([_sum_of(parts(view), weights) for view in range(PHOTO_VIEWS)])
        return [
            self._row("conse", self._conse),
            self._row(CONSE_RIDGE, through, chosen=ridge_chosen),
            self._row("linear_all", self._head(linear), linear_size, linear_chosen),
            self._row(MLP, self._head(mlp), mlp_size, mlp_chosen),
            self._fused("mlp_all_conse", [self._head(mlp), self._conse], both, mlp_size),
            self._fused("mlp_all_conse_ridge", [self._head(mlp), self._conse, through], both, mlp_size),
            one_view,
            replace(one_view, name=LINEAR_PHOTOS + "_views", images=views),
        ]

    def _conse(self, paths: Sequence[Path], view: int = 0) -> Tensor:
        return conse(self.features.logits(paths, view=view), self.labels_KE)

    def _through(self, ridge: Ridge, shown: Shown, view: int = 0) -> Images:
        return lambda paths: ridge(
            conse(self.features.logits(paths, view=view), self.labels_KE, temperature=shown[0], top_k=shown[1])
        )

    def _head(self, head: Head, view: int = 0) -> Images:
        @torch.no_grad()
        def images(paths: Sequence[Path]) -> Tensor:
            predicted: Tensor = head(self.features.pooled(paths, view=view))
            return predicted

        return images

    def _row(self, name: str, part: Images, parameters: int = 0, chosen: dict[str, float] | None = None) -> Row:
        return Row(name, _sum_of([part], [1.0]), self._texts, parameters, chosen or {})

    def _texts(self, texts: Sequence[str]) -> Rows:
        rows: Rows = self.features.texts(texts).numpy()
        return rows

    def _score(self, part: Images, pools: Sequence[list[Pool]]) -> float:
        row = self._row("trial", part)
        return float(np.mean([main_score(row, one) for one in pools]))

    def _fused(self, name: str, parts: Sequence[Images], pools: Sequence[list[Pool]], parameters: int) -> Row:
        """Weighted sum of unit-norm parts; the weights (of all but the first) are chosen on validation."""
        known = [_remember(part) for part in parts]

        def reached(weights: tuple[float, ...]) -> float:
            row = Row(name, _sum_of(known, [1.0, *weights]), self._texts)
            return float(np.mean([main_score(row, pool) for pool in pools]))

        tried = product((0.0, 0.25, 0.5, 1.0, 2.0, 4.0), repeat=len(parts) - 1)
        _, best = max((reached(weights), weights) for weights in tried)
        chosen = {f"weight_{number}": weight for number, weight in enumerate(best, start=2)}
        return Row(name, _sum_of(parts, [1.0, *best]), self._texts, parameters, chosen)

    def _ridge(self) -> tuple[Ridge, Shown, dict[str, float]]:
        """Sharpness of the pseudo labels, penalty, and what it is shown of an image: chosen on validation photos."""
        groups, photos = self.inputs.groups, [self.inputs.validation["photos"]]
        flat = [text for group in groups for text in group]
        pairs = CaptionPairs.of(groups, self.features.texts(flat), self.labels_KE)

        def tried() -> Iterator[tuple[float, Ridge, Shown, dict[str, float]]]:
            for sharpness, penalty in product((0.03, 0.05, 0.07), (0.01, 0.03, 0.1)):
                ridge = pairs.ridge(self.labels_KE, sharpness=sharpness, penalty=penalty)
                for shown in SHOWN:
                    chosen = {"sharpness": sharpness, "penalty": penalty, "temperature": shown[0], "top_k": shown[1]}
                    yield self._score(self._through(ridge, shown), photos), ridge, shown, chosen

        reached, ridge, shown, chosen = max(tried(), key=itemgetter(0))
        log(f"ridge: validation photos {reached:.3f}")
        return ridge, shown, chosen

    def _trained_on_all(self, *, hidden: int, pools: Sequence[list[Pool]]) -> tuple[Head, dict[str, float]]:
        """Share of photos and best step chosen on validation pools."""
        sets = {source: self._train_set(items, views=self.job.views) for source, items in self.inputs.train.items()}

        def tried() -> Iterator[tuple[float, Head, float]]:
            for share in (0.05, 0.2):
                weights = {source: 1 - share if source == "emoji" else share for source in sets}
                if "clipart" in sets:
                    weights |= {"emoji": 0.7 * (1 - share), "clipart": 0.3 * (1 - share)}
                mixed = [replace(one, weight=weights[source]) for source, one in sets.items()]
                config = HeadConfig(hidden=hidden, seed=self.job.seed)
                head, reached = train_head(mixed, config=config, score=lambda one: self._score(self._head(one), pools))
                log(f"{'MLP' if hidden else 'linear'} with {share:.0%} photos: validation {reached:.3f}")
                yield reached, head, share

        _, head, share = max(tried(), key=itemgetter(0))
        return head, {"photo_share": share}

    def _trained_on_photos(self) -> tuple[Head, dict[str, float]]:
        """Linear map on the photos alone, on all their views; decay and best step chosen on the validation photos."""
        items, photos = self.inputs.train["photos"], [self.inputs.validation["photos"]]
        source = self._train_set(items, views=max(PHOTO_VIEWS, self.job.views))
        shared = {"dropout": 0.2, "steps": 300, "batch_size": len(items), "eval_every": 25, "seed": self.job.seed}

        def score(head: Head) -> float:
            return self._score(self._head(head), photos)

        def tried() -> Iterator[tuple[float, Head, float]]:
            for decay in (0.05, 0.5):
                config = HeadConfig(weight_decay=decay, **shared)  # type: ignore[arg-type]
                head, reached = train_head([source], config=config, score=score)
                yield reached, head, decay

        _, head, decay = max(tried(), key=itemgetter(0))
        return head, {"weight_decay": decay}

    def _train_set(self, items: Sequence[Captioned], *, views: int) -> TrainSet:
        paths = [item.path for item in items]
        self.features.fill_images(dict.fromkeys(paths, views))
        features_NVD = torch.stack([self.features.pooled(paths, view=view) for view in range(views)], dim=1)
        texts = [item.texts for item in items]
        return TrainSet.of(features_NVD, texts, self.features.texts([text for group in texts for text in group]))


def model_rows(features: Features) -> list[Row]:
    """The model under its caption prompt: as it is, over the views, and without one part or the other."""
    size = sum(parameter.numel() for parameter in features.model.parameters() if parameter.requires_grad)

    def images(view: int = 0, ablate: Ablation | None = None) -> Callable[[Sequence[Path]], Rows]:
        prompt = features.caption_prompt
        return lambda paths: features.predictions([(path, prompt) for path in paths], view=view, ablate=ablate)

    views = average([images(view) for view in range(PHOTO_VIEWS)])
    variants = {MODEL: images(), MODEL + "_views": views}
    prior = features.model.config.residual
    if isinstance(prior, LabelPriorConfig) and prior.gated:
        variants |= {MODEL + "_no_residual": images(ablate="residual"), MODEL + "_no_learned": images(ablate="learned")}
    return [Row(name, variant, features.model_texts, size) for name, variant in variants.items()]


def average(views: Sequence[Callable[[Sequence[Path]], Rows]]) -> Callable[[Sequence[Path]], Rows]:
    """Mean of unit-norm embeddings, made unit norm again."""

    def images(paths: Sequence[Path]) -> Rows:
        total = np.sum([view(paths) for view in views], axis=0)
        rows: Rows = total / np.linalg.norm(total, axis=1, keepdims=True)
        return rows

    return images


def _sum_of(parts: Sequence[Images], weights: Sequence[float]) -> Callable[[Sequence[Path]], Rows]:
    """Weighted sum of unit-norm embeddings, made unit norm again."""

    def images(paths: Sequence[Path]) -> Rows:
        used = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
        summed = reduce(add, (weight * F.normalize(part(paths), dim=-1) for part, weight in used))
        rows: Rows = F.normalize(summed, dim=-1).numpy()
        return rows

    return images


def _remember(part: Images) -> Images:
    """The same part, computing each list of images once."""
    known = cache(part)  # of tuples, which can be keys
    return lambda paths: known(tuple(paths))
