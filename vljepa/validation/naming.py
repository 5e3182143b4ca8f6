"""What `classify` knows of names beyond their cosines, fitted on validation data: classifier evidence, none of them.

Captions are no names, but hold some: the names of an image are its texts of few words, and the names of things that at
least half of its texts have.

Shapes: N images, M names, K classes, R draws of candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa.configs import CalibrationConfig, OpenSetConfig
from vljepa.metrics.classification import auroc, softmax
from vljepa.processing.class_names import name_rows
from vljepa.processing.evidence import class_shares, open_set_features, taxonomy_of, with_evidence
from vljepa.processing.nouns import holds, names_in
from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.text import normalise_text
from vljepa.validation.encoder import Encoder
from vljepa.validation.tasks import Metrics, RetrievalTask

LEAST = 40
"""Images with names; of fewer nothing is fitted."""
MOST = 1000
"""Images of a source that are taken, evenly spaced."""
MOST_WORDS = 3
"""Of a text that is a name; longer ones are captions."""
SIZES = (2, 5, 20, 100)
"""Candidates among which the right name is, or is not."""
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(20))
"""Of the evidence, that are tried."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Named:
    """Images of a source and the names of what they show.

    Args:
        names: All of them, M.
        images: Numbers of the N images that have names, in the task.
        right_NM: Which are right.
        wrong_NM: Which are wrong: in none of an image's texts, and neither wider nor narrower than a right one.
    """

    names: list[str]
    images: list[int]
    right_NM: NDArray[np.bool_]
    wrong_NM: NDArray[np.bool_]


def named_images(task: RetrievalTask) -> Named | None:
    """Names of a source's images; None where too few images have any."""
    table = Taxonomy.of("imagenet-1k")
    every = task.texts()
    found = [names_in_texts([every[text] for text in texts], table) for texts in task.texts_of_item]
    right, seen = [one for one, _ in found], [one for _, one in found]
    images = [number for number, names in enumerate(right) if names]
    images = images[:: -(-len(images) // MOST)] if images else []
    names = sorted({name for number in images for name in right[number]})
    if len(images) < LEAST or len(names) < 2:
        return None
    has_MK = (class_shares(table, names) > 0).astype(np.float32)
    related_MM = has_MK @ has_MK.T
    right_NM = np.array([[name in right[number] for name in names] for number in images])
    seen_NM = np.array([[name in seen[number] for name in names] for number in images])
    return Named(names, images, right_NM, ~(seen_NM | (right_NM @ related_MM > 0)))


def names_in_texts(texts: Sequence[str], table: Taxonomy) -> tuple[set[str], set[str]]:
    """Names of what the texts of an image describe: those that at least half of them have, and all of them."""
    within = [([text] if len(text.split()) <= MOST_WORDS else []) + list(names_in(text, table)) for text in texts]
    counts = Counter(name for names in within for name in set(names))
    return {name for name, count in counts.items() if 2 * count >= len(texts)}, set(counts)


def names_asked(task: RetrievalTask) -> list[str]:
    """Every name that the fit will ask the Y-Encoder for."""
    named = named_images(task)
    return [] if named is None else named.names


def name_marks(
    texts: Sequence[str], names: Sequence[Sequence[str]], wider: Sequence[Sequence[str]], taxonomy: Taxonomy
) -> dict[str, Array]:
    """Whether each text has one of its image's names (strict), a name or a wider one (lenient), a wrong one (wrong).

    Args:
        texts: Such as captions.
        names: Of what each image shows.
        wider: Wider names of the same.
        taxonomy: Whose other names are wrong.
    """
    every = {normalise_text(name) for number in range(len(taxonomy)) for name in taxonomy.names_of(number)}
    strict, lenient, wrong = [], [], []
    for text, own, above in zip(texts, names, wider, strict=True):
        right = {normalise_text(one) for one in (*own, *above)}
        strict.append(holds(text, own))
        lenient.append(strict[-1] or holds(text, above))
        # A word inside a right name, such as `cat` in `Persian cat`, is not wrong.
        rest = normalise_text(text)
        for name in sorted(right, key=len, reverse=True):
            rest = rest.replace(name, "")
        wrong.append(holds(rest, every - right))
    return {
        name: np.array(values, dtype=float)
        for name, values in (("strict", strict), ("lenient", lenient), ("wrong", wrong))
    }


class NamedScores:
    """A source's images against all of its names.

    Args:
        task: The source.
        named: Its names.
        encoder: Embeds them.
        predictions_ND: Of all images of the task.
        classes_NK: What the X-Encoder's own classifier says of all of them; None without one.
    """

    def __init__(
        self,
        task: RetrievalTask,
        named: Named,
        *,
        encoder: Encoder,
        predictions_ND: NDArray[np.float32],
        classes_NK: NDArray[np.float32] | None,
    ) -> None:
        prompts = encoder.model.config.prompts
        names_MD = name_rows(named.names, prompts=prompts, embed=encoder.texts)
        rows_ND, class_rows_KD = predictions_ND[named.images], encoder.class_rows()
        self.source, self.named = task.name, named
        self.taxonomy = taxonomy_of(encoder.model.config.residual)
        self.named_MK = None if self.taxonomy is None else class_shares(self.taxonomy, named.names) > 0
        self.cosine_NM = rows_ND @ names_MD.T
        self.classes_NK = None if classes_NK is None else classes_NK[named.images]
        self.reference_NK = None if class_rows_KD is None else rows_ND @ class_rows_KD.T

    def likelihood(self, calibration: CalibrationConfig, *, weight: float) -> tuple[float, float]:
        """Mean log-likelihood of the right names among all, and the share of images whose likeliest is right."""
        names, right_NM = self.named.names, self.named.right_NM
        temperature = calibration.temperature("classify", candidates=len(names))
        probabilities_NM = softmax(self.cosine_NM, temperature=temperature)
        if self.classes_NK is not None:
            assert self.taxonomy is not None, "class probabilities without names of classes"
            class_NM = self.classes_NK @ class_shares(self.taxonomy, names).T
            probabilities_NM = with_evidence(probabilities_NM, class_NM, weight=weight)
        right_N = np.where(right_NM, probabilities_NM, 0)
        wrong_N = np.where(right_NM, 0, probabilities_NM).max(axis=1)
        likelihood_N = np.log(np.maximum(right_N.sum(axis=1), 1e-12))
        return float(likelihood_N.mean()), float((right_N.max(axis=1) > wrong_N).mean())

    def draw(self, size: int) -> Draw:
        """So many candidates for each image, with a right name and without, drawn with a fixed seed."""
        random = np.random.default_rng(size)
        rows = []
        for image, (right_M, wrong_M) in enumerate(zip(self.named.right_NM, self.named.wrong_NM, strict=True)):
            wrong = random.permutation(np.flatnonzero(wrong_M))[:size]
            if len(wrong) == size:
                right = random.choice(np.flatnonzero(right_M))
                rows.append((*self._among(image, wrong), False))
                rows.append((*self._among(image, np.append(wrong[1:], right)), True))
        features, given, among = zip(*rows, strict=True) if rows else ((), (), ())
        return Draw(np.array(features).reshape(-1, 4), np.array(given, dtype=float), np.array(among, dtype=bool))

    def _among(self, image: int, candidates: NDArray[np.intp]) -> tuple[Array, float]:
        """Open-set features [4], and what the classifier gives to all candidates together."""
        features_14 = open_set_features(self.cosine_NM[[image]][:, candidates], self.reference_of(image, candidates))
        if self.classes_NK is None or self.named_MK is None:
            return features_14[0], 0.0
        return features_14[0], float(self.classes_NK[image, self.named_MK[candidates].any(axis=0)].sum())

    def reference_of(self, image: int, candidates: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32] | None:
        """Cosines of an image to the classes that none of the candidates stands for, [1, K or less]; None without."""
        if self.reference_NK is None or self.named_MK is None:
            return None
        return self.reference_NK[[image]][:, ~self.named_MK[candidates].any(axis=0)]


def fit_evidence(sources: Sequence[NamedScores], calibration: CalibrationConfig) -> tuple[float, Metrics]:
    """The weight of the classifier's evidence under which the right names are likeliest, each source counting alike.

    Returns:
        The weight, and each source's accuracy among its names without evidence and with it.
    """
    found = {weight: [one.likelihood(calibration, weight=weight) for one in sources] for weight in WEIGHTS}
    # Rounded: where no candidate has a class, all weights are alike, and the first of equals is 0.
    best = max(WEIGHTS, key=lambda weight: round(float(np.mean([likelihood for likelihood, _ in found[weight]])), 5))
    metrics: Metrics = {"calibration/evidence": best}
    for number, one in enumerate(sources):
        metrics[f"{one.source}/names/accuracy"] = found[0.0][number][1]
        metrics[f"{one.source}/names/accuracy_with_evidence"] = found[best][number][1]
    return best, metrics


def fit_open_set(sources: Sequence[NamedScores], *, evidence: float) -> tuple[OpenSetConfig, Metrics]:
    """Logistic regression on whether one of the candidates is right, each source counting alike.

    Args:
        sources: At least one.
        evidence: Weight of what the classifier gives to the candidates, which is not fitted here.

    Returns:
        The factors, and for each source and number of candidates the area under the ROC curve, on the data of the fit.
    """
    draws = {one.source: {size: one.draw(size) for size in SIZES} for one in sources}
    pooled = [Draw.joined(list(sizes.values())) for sizes in draws.values()]
    every = Draw.joined(pooled)
    weights_R = np.concatenate([np.full(len(one.among), 1 / len(one.among)) for one in pooled])
    factors = fit_logistic(every, evidence=evidence, weights_R=weights_R / weights_R.sum())
    bias, cosine, reference, candidates = factors.tolist()
    config = OpenSetConfig(bias=bias, cosine=cosine, reference=reference, candidates=candidates)
    metrics: Metrics = {
        f"calibration/open_set/{source}/{size}_candidates/auroc": auroc(one.probabilities(factors, evidence), one.among)
        for source, sizes in draws.items()
        for size, one in sizes.items()
        if len(one.among)
    }
    return config, metrics


@dataclass(frozen=True)
class Draw:
    """Images with candidates.

    Args:
        features_RF: As of `open_set_features`.
        given_R: What the classifier gives to the candidates together.
        among: Whether a right name is among them, [R].
    """

    features_RF: Array
    given_R: Array
    among: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Draw]) -> Draw:
        """All of some."""
        return cls(
            np.concatenate([one.features_RF for one in parts]),
            np.concatenate([one.given_R for one in parts]),
            np.concatenate([one.among for one in parts]),
        )

    def probabilities(self, factors_F: Array, evidence: float) -> Array:
        """That one of the candidates is right."""
        by_cosine_R = 1 / (1 + np.exp(-(self.features_RF @ factors_F)))
        found: Array = 1 - (1 - evidence * self.given_R) * (1 - by_cosine_R)
        return found


def fit_logistic(draw: Draw, *, evidence: float, weights_R: Array) -> Array:
    """Factors [4] of the highest likelihood; the features are few, so there is nothing to regularise."""
    features_RF, weights, among = (torch.from_numpy(one) for one in (draw.features_RF, weights_R, draw.among))
    spare_R = torch.from_numpy(1 - evidence * draw.given_R)
    factors = torch.zeros(features_RF.shape[1], dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([factors], max_iter=500, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        solver.zero_grad()
        none_R = (spare_R * torch.sigmoid(-(features_RF @ factors))).clamp(1e-12, 1 - 1e-12)
        surprise = -(weights * torch.where(among, torch.log1p(-none_R), none_R.log())).sum()
        surprise.backward()  # type: ignore[no-untyped-call]
        return surprise

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    return factors.detach().numpy()
