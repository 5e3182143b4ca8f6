"""The temperatures are fitted on what `classify` and `ask` will be asked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tests.conftest import write_rows
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import CalibrationConfig, PromptsConfig, load_preset
from vljepa.data.records import Record
from vljepa.inference.vqa import ask
from vljepa.training.trainer import Trainer
from vljepa.validation.calibration import calibrate, fewer, fit_answer_prior
from vljepa.validation.tasks import RetrievalTask, VqaTask


class Spy:
    """Stands for an encoder, and keeps the texts that it is asked for."""

    def __init__(self, template):
        config = SimpleNamespace(prompts=PromptsConfig(classification=template))
        self.model, self.asked = SimpleNamespace(config=config, eval=lambda: None), []

    def predictions(self, pairs):
        return np.eye(len(pairs), 4, dtype=np.float32)

    def seen(self, pairs):
        return self.predictions(pairs), None

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


class Crowd:
    """An encoder of texts of which ten each are nearly alike."""

    def __init__(self, count):
        random = np.random.default_rng(0)
        config = SimpleNamespace(prompts=PromptsConfig(classification="{}"), residual=None)
        self.model = SimpleNamespace(config=config, eval=lambda: None)
        kinds = random.standard_normal((count // 10, 32)).repeat(10, axis=0)
        self.vectors = unit(kinds + 0.6 * random.standard_normal(kinds.shape))
        self.drawn = unit(self.vectors + 0.2 * random.standard_normal(kinds.shape))

    def predictions(self, pairs):
        return self.drawn

    def seen(self, pairs):
        return self.predictions(pairs), None

    def texts(self, texts):
        return self.vectors[[int(text) for text in texts]]

    def class_rows(self):
        return None

    def class_probabilities(self, pairs):
        return None


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("kind", ["classify", "ask"])
def test_the_temperature_follows_the_number_of_candidates(kind):
    """One temperature for all is less likely than one that is fitted over the sizes, and it is measured at each."""
    count = 600
    names = tuple(str(number) for number in range(count))
    if kind == "classify":
        task = RetrievalTask(
            "crowd", [Record(f"{name}.png", texts=(name,), source_id=name) for name in names], caption_prompt=""
        )
    else:
        task = VqaTask("crowd", [Record("a.png", texts=(name,), query="?", candidates=names) for name in names])
    fitted, metrics = calibrate([task], encoder=Crowd(count), current=CalibrationConfig())
    exponent = getattr(fitted, f"{kind}_exponent")
    assert exponent == metrics[f"calibration/{kind}/exponent"] > 0.02
    assert fitted.temperature(kind, candidates=20) == pytest.approx(getattr(fitted, kind))
    assert fitted.temperature(kind, candidates=500) == pytest.approx(getattr(fitted, kind) * 25**exponent)
    sizes = [key for key in metrics if key.endswith("/ece_after")]
    assert sizes == [f"calibration/{kind}/{size}_candidates/ece_after" for size in (2, 5, 20, 100, 500)]
    assert metrics[sizes[-1]] < metrics[f"calibration/{kind}/500_candidates/ece_before"] - 0.05


@pytest.mark.parametrize(("wrong", "kept"), [(0, True), (2, False)])
def test_a_few_images_of_which_none_is_wrong_say_nothing_of_how_sure_to_be(wrong, kept):
    """The fit would be at its bound, and every later answer 100% sure."""
    names = tuple(map(str, range(8)))
    crowd = Crowd(10)
    crowd.drawn = crowd.vectors[[*range(8 - wrong), *[0] * wrong]]
    task = RetrievalTask("few", [Record(f"{one}.png", texts=(one,), source_id=one) for one in names], caption_prompt="")
    fitted, metrics = calibrate([task], encoder=crowd, current=CalibrationConfig(classify=0.07))
    assert (fitted.classify == 0.07) is kept
    assert metrics["calibration/classify/temperature"] == fitted.classify


def test_few_choices_say_nothing_of_many():
    """Among up to 19 the exponent would be that of the kinds of questions: with two and with five answers."""
    records = [
        Record("a.png", texts=("0",), query="?", candidates=tuple(map(str, range(2 if number % 2 else 5))))
        for number in range(60)
    ]
    fitted, _ = calibrate([VqaTask("few", records)], encoder=Crowd(60), current=CalibrationConfig(ask_exponent=0.1))
    assert fitted.ask_exponent == 0.0


def test_fewer_candidates_always_have_the_right_one():
    scores = np.arange(80, dtype=np.float32).reshape(4, 20)
    scores[3, 4:] = -np.inf  # a question of four candidates
    labels = np.array([9, 3, 0, 2])
    whole, two, five = fewer(scores, labels)
    assert whole[0] is scores
    assert (two[0].shape, five[0].shape) == ((4, 2), (3, 5))
    assert sorted(two[0][:, 0].tolist()) == [9.0, 23.0, 40.0, 62.0]
    for drawn, _ in (two, five):
        assert np.isfinite(drawn).all()
        assert all(len(set(row)) == len(row) for row in drawn.tolist())


@pytest.mark.parametrize("trainable", [False, True])
def test_a_run_with_a_template_has_the_texts_at_hand(make_run, trainable):
    """A frozen Y-Encoder reads texts from its cache, which must hold them in the template too."""
    model = load_preset("toy").model_dump(mode="json") | {"prompts": {"classification": "a photo of {}"}}
    model["y_encoder"]["target"] = "trained" if trainable else "frozen"
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
    image = shapes / rows[0]["image"]
    [plain], [informed] = (ask(model, processor, image, **asked, answer_prior=wanted) for wanted in (False, None))
    odds = [one.probabilities["red"] / one.probabilities["green"] for one in (plain, informed)]
    temperature = model.config.calibration.temperature("ask", candidates=len(asked["choices"]))
    assert odds[1] / odds[0] == pytest.approx(5 ** (prior.weight / temperature), rel=1e-3)
