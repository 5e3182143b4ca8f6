"""All rows of the retrieval table for one seed: every baseline refitted, and the model with its ablations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eval.core.console import log
from eval.core.embedding import Rows
from eval.core.prepared import Captioned
from eval.studies.mini.baselines import HIDDEN, Head, HeadConfig, TrainSet, train_head
from eval.studies.mini.conse import CaptionPairs, Ridge, conse
from eval.studies.mini.features import Features
from eval.tasks.pools import Pool, Row, main_score, measure
from vljepa.configs import LabelPriorConfig
from vljepa.methods.vision_language.label_prior import label_names
from vljepa.models.residuals import Ablation

Images = Callable[[Sequence[Path]], Tensor]
PHOTO_VIEWS = 8
SHOWN = ((1.0, 10), (2.0, 50))
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


@dataclass(frozen=True)
class Fit:
    """What the baselines are fitted on and chosen by.

    Args:
        train: Captioned training pictures by source.
        emoji: Validation pools of the emoji.
        photos: Validation pools of the photos.
        groups: Captions by COCO picture, for the ridge.
        views: Stored views of a training picture; photos have at least `PHOTO_VIEWS`.
    """

    train: dict[str, list[Captioned]]
    emoji: list[Pool]
    photos: list[Pool]
    groups: list[list[str]]
    views: int


class Baselines:
    """The baselines of one seed, fitted when asked for.

    Args:
        features: Of the frozen encoders.
        fit: Training and validation data.
        seed: Of initialisation and order.
    """

    def __init__(self, features: Features, fit: Fit, *, seed: int) -> None:
        self.features, self.fit, self.seed = features, fit, seed
        prior = features.model.config.residual or LabelPriorConfig()
        self.labels_KE = features.texts(label_names(prior))
        self.shown = SHOWN[0]

    def rows(self) -> list[Row]:
        """All baselines, weakest idea first."""
        ridge, ridge_chosen = self._ridge()  # also chooses what it is shown: self.shown
        both = [self.fit.emoji, self.fit.photos]
        linear, linear_chosen = self._trained_on_all(hidden=0, lr=1e-3, pools=both)
        # The MLP is the rival on emoji: chosen by emoji alone, it is as strong there as it gets.
        mlp, mlp_chosen = self._trained_on_all(hidden=HIDDEN, lr=1e-3, pools=[self.fit.emoji])
        photo, photo_chosen = self._trained_on_photos()
        linear_size, mlp_size = linear.parameters_count(), mlp.parameters_count()
        return [
            self._row("conse", [self._conse]),
            self._row(CONSE_RIDGE, [self._through(ridge)], chosen=ridge_chosen),
            self._row("linear_all", [self._head(linear)], linear_size, linear_chosen),
            self._row(MLP, [self._head(mlp)], mlp_size, mlp_chosen),
            self._fused("mlp_all_conse", [self._head(mlp), self._conse], both, mlp_size),
            self._fused("mlp_all_conse_ridge", [self._head(mlp), self._conse, self._through(ridge)], both, mlp_size),
            *self._linear_photos(photo, ridge, photo_chosen),
        ]

    def _conse(self, paths: Sequence[Path], view: int = 0) -> Tensor:
        return conse(self.features.logits(paths, view=view), self.labels_KE)

    def _through(self, ridge: Ridge, view: int = 0) -> Images:
        temperature, top_k = self.shown
        return lambda paths: ridge(
            conse(self.features.logits(paths, view=view), self.labels_KE, temperature=temperature, top_k=top_k)
        )

    def _head(self, head: Head, view: int = 0) -> Images:
        @torch.no_grad()
        def images(paths: Sequence[Path]) -> Tensor:
            predicted: Tensor = head(self.features.pooled(paths, view=view))
            return predicted

        return images

    def _row(
        self, name: str, parts: Sequence[Images], parameters: int = 0, chosen: dict[str, float] | None = None
    ) -> Row:
        return Row(name, _sum_of(parts, [1.0] * len(parts)), self._texts, parameters, chosen or {})

    def _texts(self, texts: Sequence[str]) -> Rows:
        rows: Rows = self.features.texts(texts).numpy()
        return rows

    def _fused(self, name: str, parts: Sequence[Images], pools: Sequence[list[Pool]], parameters: int) -> Row:
        """Weighted sum of unit-norm parts; the weights (of all but the first) are chosen on validation."""
        cached = [_remember(part) for part in parts]
        best: tuple[float, tuple[float, ...]] = (-1.0, ())
        for weights in product((0.0, 0.25, 0.5, 1.0, 2.0, 4.0), repeat=len(parts) - 1):
            row = Row(name, _sum_of(cached, [1.0, *weights]), self._texts)
            best = max(best, (float(np.mean([main_score(measure(row, pool)[0]) for pool in pools])), weights))
        chosen = {f"weight_{number}": weight for number, weight in enumerate(best[1], start=2)}
        return Row(name, _sum_of(parts, [1.0, *best[1]]), self._texts, parameters, chosen)

    def _ridge(self) -> tuple[Ridge, dict[str, float]]:
        """Sharpness of the pseudo labels, penalty, and what it is shown of a picture: chosen on validation photos."""
        flat = [text for group in self.fit.groups for text in group]
        pairs = CaptionPairs.of(self.fit.groups, self.features.texts(flat), self.labels_KE)
        best: tuple[float, Ridge, dict[str, float], tuple[float, int]] | None = None
        for sharpness, penalty in product((0.03, 0.05, 0.07), (0.01, 0.03, 0.1)):
            ridge = pairs.ridge(self.labels_KE, sharpness=sharpness, penalty=penalty)
            for self.shown in SHOWN:
                reached = main_score(measure(self._row(CONSE_RIDGE, [self._through(ridge)]), self.fit.photos)[0])
                chosen = {"sharpness": sharpness, "penalty": penalty, "temperature": self.shown[0]}
                if best is None or reached > best[0]:
                    best = (reached, ridge, chosen | {"top_k": self.shown[1]}, self.shown)
        assert best is not None
        self.shown = best[3]
        log(f"ridge: validation photos {best[0]:.3f}")
        return best[1], best[2]

    def _trained_on_all(self, *, hidden: int, lr: float, pools: Sequence[list[Pool]]) -> tuple[Head, dict[str, float]]:
        """Share of photos and best step chosen on validation pools."""

        def score(head: Head) -> float:
            row = self._row("trial", [self._head(head)])
            return float(np.mean([main_score(measure(row, one)[0]) for one in pools]))

        best: tuple[float, float, Head] | None = None
        sets = {source: self._train_set(items, views=self.fit.views) for source, items in self.fit.train.items()}
        for share in (0.05, 0.2):
            weights = {source: 1 - share if source == "emoji" else share for source in sets}
            if "clipart" in sets:
                weights |= {"emoji": 0.7 * (1 - share), "clipart": 0.3 * (1 - share)}
            mixed = [replace(one, weight=weights[source]) for source, one in sets.items()]
            head, reached = train_head(mixed, config=HeadConfig(hidden=hidden, lr=lr, seed=self.seed), score=score)
            log(f"{'MLP' if hidden else 'linear'} with {share:.0%} photos: validation {reached:.3f}")
            if best is None or reached > best[0]:
                best = (reached, share, head)
        assert best is not None
        return best[2], {"photo_share": best[1]}

    def _trained_on_photos(self) -> tuple[Head, dict[str, float]]:
        """Linear map on the photos alone, on all their views; decay and best step chosen on the validation photos."""
        source = self._train_set(self.fit.train["photos"], views=max(PHOTO_VIEWS, self.fit.views))

        def score(head: Head) -> float:
            return main_score(measure(self._row("trial", [self._head(head)]), self.fit.photos)[0])

        best: tuple[float, float, Head] | None = None
        for decay in (0.05, 0.5):
            config = HeadConfig(
                weight_decay=decay, dropout=0.2, steps=300, batch_size=len(self.fit.train["photos"]), eval_every=25
            )
            head, reached = train_head([source], config=replace(config, seed=self.seed), score=score)
            if best is None or reached > best[0]:
                best = (reached, decay, head)
        assert best is not None
        return best[2], {"weight_decay": best[1]}

    def _linear_photos(self, head: Head, ridge: Ridge, chosen: dict[str, float]) -> list[Row]:
        """Row (c): one view, and with the parts averaged over the views."""

        def parts(view: int) -> list[Images]:
            return [self._head(head, view), lambda paths: self._conse(paths, view), self._through(ridge, view)]

        one = self._fused(LINEAR_PHOTOS, parts(0), [self.fit.photos], head.parameters_count())
        weights = [1.0, *one.chosen.values()]
        views = [_sum_of(parts(view), weights) for view in range(PHOTO_VIEWS)]
        one = replace(one, chosen=one.chosen | chosen)
        return [one, replace(one, name=LINEAR_PHOTOS + "_views", images=average(views))]

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
        summed = sum(
            weight * F.normalize(part(paths), dim=-1) for part, weight in zip(parts, weights, strict=True) if weight
        )
        assert isinstance(summed, Tensor)
        rows: Rows = F.normalize(summed, dim=-1).numpy()
        return rows

    return images


def _remember(part: Images) -> Images:
    """The same part, computing each list of pictures once."""
    known: dict[tuple[Path, ...], Tensor] = {}

    def images(paths: Sequence[Path]) -> Tensor:
        key = tuple(paths)
        if key not in known:
            known[key] = part(paths)
        return known[key]

    return images
