"""Evidence and none of the names are fitted on the names that validation texts hold."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vljepa.configs import CalibrationConfig, LabelPriorConfig, PromptsConfig
from vljepa.data.records import Record
from vljepa.validation.calibration import calibrate
from vljepa.validation.naming import LEAST, NamedScores, fit_evidence, fit_open_set, named_images
from vljepa.validation.search import draw_images, fit_search
from vljepa.validation.tasks import RetrievalTask

NAMES = [f"name {number}" for number in range(30)]


def captioned(*texts: tuple[str, ...]) -> RetrievalTask:
    records = [Record(f"{n}.png", texts=some, source_id=str(n)) for n, some in enumerate(texts)]
    return RetrievalTask("photos", records, caption_prompt="")


def test_names_are_short_texts_and_what_half_of_the_captions_name() -> None:
    dogs = ("A small dog sleeps on a couch.", "The dog is on some sofa near a lamp.", "a dog is lying down there")
    task = captioned(*[dogs] * LEAST, ("hot dog",), ("there is nothing to name here at all",))
    named = named_images(task)
    assert named is not None
    assert named.names == ["dog", "hot dog"]
    assert named.images == list(range(LEAST + 1)), "an image without names is left out"
    assert named.right_NM[0].tolist() == [True, False]
    assert named.right_NM[-1].tolist() == [False, True]


def test_what_is_wider_or_seen_at_all_is_not_wrong() -> None:
    dog, animal, couch = ("dog",), ("animal",), ("couch",)
    both = ("dog", "a dog sits on a couch", "two of them are sleeping quietly")
    named = named_images(captioned(*[dog, animal, couch, both] * LEAST))
    assert named is not None
    wrong = dict(zip(named.names, named.wrong_NM[0].tolist(), strict=True))
    assert wrong == {"animal": False, "couch": True, "dog": False}
    assert dict(zip(named.names, named.wrong_NM[3].tolist(), strict=True))["couch"] is False


def test_of_few_images_nothing_is_fitted() -> None:
    assert named_images(captioned(*[("dog",), ("cat",)] * (LEAST // 2 - 1))) is None


class Namer:
    """An encoder of images that are numbers: each shows the name of that number, modulo 30.

    Args:
        noise: On the predicted embeddings.
        trusted: How often the classifier names the right class, with near certainty.
        known: Classes the classifier has: the first so many names.
    """

    def __init__(self, *, noise: float, trusted: float, known: int = 30) -> None:
        self.random = np.random.default_rng(0)
        residual = LabelPriorConfig(label_names=NAMES[:known])
        prompts = PromptsConfig(classification="{}")
        self.model = SimpleNamespace(config=SimpleNamespace(prompts=prompts, residual=residual), eval=lambda: None)
        self.noise, self.trusted, self.known = noise, trusted, known
        self.vectors = unit(self.random.standard_normal((30, 16)))

    def predictions(self, pairs):
        labels = [int(str(visual).partition(".")[0]) % 30 for visual, _ in pairs]
        return unit(self.vectors[labels] + self.noise * self.random.standard_normal((len(pairs), 16)) / 4)

    def texts(self, texts):
        return self.vectors[[NAMES.index(text) for text in texts]]

    def class_rows(self):
        return self.vectors[: self.known]

    def seen(self, pairs):
        return self.predictions(pairs), self.class_probabilities(pairs)

    def class_probabilities(self, pairs):
        found = np.full((len(pairs), self.known), 0.05 / (self.known - 1), dtype=np.float32)
        for row, (visual, _) in enumerate(pairs):
            label = int(str(visual).partition(".")[0]) % 30
            right = self.random.random() < self.trusted and label < self.known
            found[row, label if right else self.random.integers(self.known)] = 0.95
        return found


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def crowd(count: int = 300) -> RetrievalTask:
    return captioned(*[(NAMES[number % 30],) for number in range(count)])


def scores(encoder: Namer) -> NamedScores:
    task = crowd()
    named = named_images(task)
    assert named is not None
    rows_ND, classes_NK = encoder.seen(task.pairs())
    return NamedScores(task, named, encoder=encoder, predictions_ND=rows_ND, classes_NK=classes_NK)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trusted", "known", "lowest", "highest"), [(0.9, 30, 0.7, 0.95), (0.0, 30, 0.0, 0.0), (0.5, 30, 0.2, 0.6)]
)
def test_the_classifier_is_trusted_as_far_as_it_is_right(trusted, known, lowest, highest) -> None:
    calibration = CalibrationConfig(classify=0.1)
    weight, metrics = fit_evidence([scores(Namer(noise=3.0, trusted=trusted, known=known))], calibration)
    assert lowest <= weight <= highest
    assert metrics["calibration/evidence"] == weight
    gained = metrics["photos/names/accuracy_with_evidence"] - metrics["photos/names/accuracy"]
    assert gained > 0.1 if weight else gained == 0


def test_none_of_them_is_told_from_one_of_them() -> None:
    config, metrics = fit_open_set([scores(Namer(noise=1.0, trusted=0.0))], evidence=0.0)
    areas = [metrics[f"calibration/open_set/photos/{size}_candidates/auroc"] for size in (2, 5, 20)]
    assert areas[0] > 0.9
    assert areas == sorted(areas, reverse=True), "among many, a wrong one is near by chance"
    assert config.cosine > 2
    assert config.candidates < 0
    blind, chance = fit_open_set([scores(Namer(noise=1000.0, trusted=0.0))], evidence=0.0)
    assert chance["calibration/open_set/photos/2_candidates/auroc"] < 0.6
    assert abs(blind.cosine) < config.cosine


def test_a_search_that_finds_is_told_from_one_that_does_not() -> None:
    one = scores(Namer(noise=1.0, trusted=0.0))
    config, metrics = fit_search([one])
    assert metrics["calibration/search/photos/auroc"] > 0.9
    draw = draw_images(one)
    probabilities = draw.probabilities(np.array([config.bias, config.cosine, config.reference, config.candidates]), 0.0)
    assert probabilities.mean() == pytest.approx(draw.among.mean(), abs=0.01), "calibrated on the whole"
    assert 0.3 < draw.among.mean() < 0.95, "the control: there are both"
    _, chance = fit_search([scores(Namer(noise=1000.0, trusted=0.0))])
    assert chance["calibration/search/photos/auroc"] < 0.7


def test_a_run_s_calibration_has_all() -> None:
    fitted, metrics = calibrate([crowd()], encoder=Namer(noise=3.0, trusted=0.9), current=CalibrationConfig())  # type: ignore[arg-type]
    assert fitted.evidence == metrics["calibration/evidence"] > 0.5
    assert fitted.open_set is not None
    assert fitted.search is not None
    few, _ = calibrate([captioned(("name 1",), ("name 2",))], encoder=Namer(noise=3.0, trusted=0.9), current=fitted)  # type: ignore[arg-type]
    kept = (few.evidence, few.open_set, few.search)
    assert kept == (fitted.evidence, fitted.open_set, fitted.search), "kept where there is nothing to fit on"
