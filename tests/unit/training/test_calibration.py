"""The temperatures are fitted on what `classify` and `ask` will be asked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import write_rows
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import CalibrationConfig, load_preset
from vljepa.data.records import Record
from vljepa.inference.vqa import ask
from vljepa.training.calibration import calibrate, fit_answer_prior
from vljepa.training.trainer import Trainer
from vljepa.training.validation import RetrievalTask, VqaTask


class Spy:
    """Stands for an encoder, and keeps the texts that it is asked for."""

    def __init__(self, template):
        config = SimpleNamespace(prompts=SimpleNamespace(classification=template))
        self.model, self.asked = SimpleNamespace(config=config, eval=lambda: None), []

    def predictions(self, pairs):
        return np.eye(len(pairs), 4, dtype=np.float32)

    def texts(self, texts):
        self.asked += texts
        return np.eye(len(texts), 4, dtype=np.float32)


@pytest.mark.parametrize(
    ("template", "asked"), [("{}", ["cat", "dog"]), ("a photo of {}", ["a photo of cat", "a photo of dog"])]
)
def test_classify_is_fitted_on_the_texts_that_it_will_see(template, asked):
    records = [
        SimpleNamespace(image=f"{text}.png", source_id=text, texts=[text], query="", candidates=[], type="")
        for text in ("cat", "dog")
    ]
    encoder = Spy(template)
    calibrate([RetrievalTask("pets", records, caption_prompt="")], encoder=encoder, current=CalibrationConfig())
    assert encoder.asked == asked


@pytest.mark.parametrize("trainable", [False, True])
def test_a_run_with_a_template_has_the_texts_at_hand(make_run, trainable):
    """A frozen Y-Encoder reads texts from its cache, which must hold them in the template too."""
    model = load_preset("toy").model_dump(mode="json") | {"prompts": {"classification": "a photo of {}"}}
    model["y_encoder"]["trainable"] = trainable
    result = Trainer(make_run(model=model, train={"steps": 1})).fit()
    fitted = VLJEPA.from_pretrained(result.model_folder).config.calibration
    assert fitted.classify == result.metrics["calibration/classify/temperature"]


def skewed(count=200, *, candidates=("yes", "no"), noise=0.2):
    """Three of four answers are "no", which the cosines tell only in part."""
    random = np.random.default_rng(0)
    labels = (random.random(count) < 0.75).astype(np.int64)
    records = [
        Record("a.png", texts=(candidates[label],), query="is it?", candidates=tuple(candidates)) for label in labels
    ]
    scores = noise * random.standard_normal((count, 2)).astype(np.float32)
    scores[np.arange(count), labels] += 0.2
    return VqaTask("held_out", records), (scores, labels)


def accuracy(scores, labels):
    return float((scores.argmax(1) == labels).mean())


def test_the_prior_s_weight_is_the_likeliest_and_helps():
    task, scored = skewed()
    prior, [added] = fit_answer_prior([task], [scored], answers={"no": 75, "yes": 25})
    assert prior.counts == {"no": 75, "yes": 25}
    np.testing.assert_allclose(added[0], prior.weight * np.log([0.25, 0.75]), rtol=1e-5)
    # The right weight is the noise's variance over the distance of the means: 2 * 0.04 / (2 * 0.2).
    assert 0.08 <= prior.weight <= 0.24
    assert accuracy(scored[0] + added, scored[1]) > accuracy(*scored) + 0.02


def test_without_a_use_there_is_no_prior():
    task, scored = skewed()
    assert fit_answer_prior([task], [scored], answers={}) == (None, [])
    assert fit_answer_prior([task], [scored], answers={"perhaps": 3, "no": 1})[0] is None, "other candidates"
    assert fit_answer_prior([task], [scored], answers={"no": 50, "yes": 50})[0] is None, "all alike frequent"
    wrong, _ = fit_answer_prior([task], [scored], answers={"no": 5, "yes": 95})
    assert wrong is None, "frequencies that are wrong for the validation data"


def test_a_likelier_weight_may_not_cost_right_answers():
    """Ten "yes" are right by a hair; more weight is likelier for the "no" that are far off, and turns none of them."""
    margins = np.array([0.9] * 60 + [-0.9] * 30 + [-0.02] * 10, dtype=np.float32)  # of "no"
    labels = np.array([0] * 90 + [1] * 10)
    records = [Record("a.png", texts=(("no", "yes")[label],), query="?", candidates=("no", "yes")) for label in labels]
    scored = np.stack([margins, np.zeros_like(margins)], axis=1), labels
    prior, [added] = fit_answer_prior([VqaTask("held_out", records)], [scored], answers={"no": 90, "yes": 10})
    assert prior.weight == 0.0075
    assert accuracy(scored[0] + added, labels) == accuracy(*scored) == 0.7


def test_a_run_keeps_the_frequencies_of_its_answers_and_ask_uses_them(shapes, make_run, tmp_path):
    """Red is asked for three times as often in training and in validation."""
    rows = [json.loads(line) for line in (shapes / "questions.jsonl").read_text().splitlines()]
    rows = [row | {"candidates": sorted({one["text"] for one in rows})} for row in rows]
    write_rows(tmp_path / "skewed.jsonl", rows + 4 * [row for row in rows if row["text"] == "red"])
    source = {"name": "questions", "path": str(tmp_path / "skewed.jsonl"), "root": str(shapes), "task": "vqa"}
    result = Trainer(make_run(data={"train": [source], "validation": [source]}, train={"steps": 4})).fit()
    model, processor = (one.from_pretrained(result.model_folder) for one in (VLJEPA, VLJEPAProcessor))
    prior = model.config.calibration.answers
    assert prior.counts == {"red": 30, "circle": 8, "square": 8, "bar": 8, "green": 6, "blue": 6, "black": 6}
    assert result.metrics["calibration/answer_prior/weight"] == prior.weight
    asked = {"question": "which colour?", "choices": rows[0]["candidates"]}
    picture = shapes / rows[0]["image"]
    [plain], [informed] = (ask(model, processor, picture, **asked, answer_prior=wanted) for wanted in (False, None))
    odds = [one.probabilities["red"] / one.probabilities["green"] for one in (plain, informed)]
    assert odds[1] / odds[0] == pytest.approx(5 ** (prior.weight / model.config.calibration.ask), rel=1e-3)
