from pathlib import Path

import numpy as np
import pytest

from vljepa.configs import CalibrationConfig, load_preset
from vljepa.data.records import Record
from vljepa.errors import ConfigError
from vljepa.training.trainer import Trainer
from vljepa.validation.calibration import calibrate
from vljepa.validation.tasks import (
    CHOOSABLE,
    RetrievalTask,
    VqaTask,
    check_best_metric,
    evaluate_tasks,
    main_metric,
)


class FakeModel:
    config = load_preset("toy")

    def eval(self):
        return self


class FakeEncoder:
    """Embeds what it is told to."""

    def __init__(self, vectors):
        self.model = FakeModel()
        self.vectors = {key: np.array(value, np.float32) / np.linalg.norm(value) for key, value in vectors.items()}

    def predictions(self, pairs):
        return np.stack([self.vectors[(path.name, query)] for path, query in pairs])

    def seen(self, pairs):
        return self.predictions(pairs), None

    def texts(self, texts):
        return np.stack([self.vectors[text] for text in texts])

    def class_rows(self):
        return None

    def class_probabilities(self, pairs):
        return None


def caption(name, *texts, source_id=None):
    return Record(image=Path(name), texts=texts, query="ignored", source_id=source_id or name)


def test_retrieval_counts_every_text_and_every_right_image():
    rows = [caption("1", "cat", "tabby"), caption("2", "Cat."), caption("3", "dog"), caption("3", "hound")]
    task = RetrievalTask("s", rows, caption_prompt="p")
    assert task.texts() == ["cat", "tabby", "dog", "hound"]
    assert task.pairs() == [(Path("1"), "p"), (Path("2"), "p"), (Path("3"), "p")]
    assert task.texts_of_item == [[0, 1], [0], [2, 3]]
    assert task.items_of_text == [[0, 1], [0], [2], [2]]
    encoder = FakeEncoder(
        {("1", "p"): [1, 0], ("2", "p"): [1, 0.1], ("3", "p"): [0, 1], "cat": [1, 0.05], "tabby": [1, 0], "dog": [0, 1]}
        | {"hound": [1, 0.02]}
    )
    metrics = task.evaluate(encoder)
    assert metrics["s/image_to_text/r1"] == 1.0
    assert metrics["s/text_to_image/r1"] == pytest.approx(3 / 4)  # "hound" finds image 1
    assert metrics["s/main"] == pytest.approx(7 / 8)
    assert metrics["s/effective_rank"] > 1


def question(name, query, answer, *candidates, kind=""):
    return Record(image=Path(name), texts=(answer,), query=query, candidates=candidates, type=kind)


QUESTIONS = [
    question("1", "colour?", "red", "red", "blue", "green", kind="colour"),
    question("2", "colour?", "blue", "red", "blue", "green", kind="colour"),
    question("1", "big?", "yes", "yes", "no", kind="size"),
]
ANSWERS = {
    ("1", "colour?"): [1, 0, 0, 0.1],
    ("2", "colour?"): [1, 0, 0, 0.1],
    ("1", "big?"): [0, 0, 1, 0],
    "red": [1, 0, 0, 0],
    "blue": [0, 1, 0, 0],
    "green": [0, 1, 1, 0],
    "yes": [0, 0, 1, 0],
    "no": [0, 0, 0, 1],
}


def test_questions_by_the_nearest_candidate_overall_and_per_type():
    metrics = evaluate_tasks([VqaTask("q", QUESTIONS)], encoder=FakeEncoder(ANSWERS))
    assert metrics["q/accuracy"] == metrics["q/main"] == metrics["mean"] == pytest.approx(2 / 3)
    assert metrics["q/accuracy/colour"] == 0.5
    assert metrics["q/accuracy/size"] == 1.0


def test_equal_embeddings_answer_nothing():
    same = {key: [1, 1] for key in ANSWERS}
    assert evaluate_tasks([VqaTask("q", QUESTIONS)], encoder=FakeEncoder(same))["q/accuracy"] == 0.0


def test_the_best_metric_must_exist():
    with pytest.raises(ConfigError, match=r"'wrong' is not measured.*use one of a, mean"):
        main_metric({"mean": 1.0, "a": 0.5}, name="wrong")


def test_calibration_of_both_kinds():
    random = np.random.default_rng(0)
    vectors, questions, captions = {}, [], []
    for label in range(30):
        vectors[f"label {label}"] = random.normal(size=16)
    for number in range(300):
        label = int(random.integers(30))
        noisy = vectors[f"label {label}"] + 2.5 * random.normal(size=16)
        vectors[(str(number), "what?")] = vectors[(str(number), "")] = noisy
        questions.append(question(str(number), "what?", f"label {label}", *(f"label {other}" for other in range(30))))
        captions.append(caption(str(number), f"label {label}"))
    tasks = [VqaTask("q", questions), RetrievalTask("c", captions, caption_prompt="")]
    current = CalibrationConfig(classify=0.001, ask=0.001)
    calibration, metrics = calibrate(tasks, encoder=FakeEncoder(vectors), current=current)
    assert calibration.ask == metrics["calibration/ask/temperature"] > 0.01
    assert calibration.classify == metrics["calibration/classify/temperature"] > 0.01
    for kind in ("ask", "classify"):
        for size in (2, 5, 20):
            errors = [metrics[f"calibration/{kind}/{size}_candidates/ece_{when}"] for when in ("after", "before")]
            assert errors[0] < 0.1 < errors[1]
    only_questions, metrics = calibrate(tasks[:1], encoder=FakeEncoder(vectors), current=current)
    assert only_questions.classify == 0.001
    assert "calibration/classify/temperature" not in metrics


@pytest.mark.parametrize(
    "name",
    ["nonsense", "absent/main", "captions/accuracy", "captions/image_to_text/median_rank", "questions/accuracies"],
)
def test_a_best_metric_that_cannot_choose_is_refused_before_anything_is_read(make_run, monkeypatch, name):
    monkeypatch.setattr(Trainer, "_build", lambda *_: pytest.fail("built"))
    with pytest.raises(ConfigError, match=rf"best_metric = '{name}'.*mean, captions/main"):
        Trainer(make_run(train={"best_metric": name})).fit()


def test_what_may_choose_is_measured(make_run):
    """The control, and the list against the measurements themselves."""
    run = make_run(train={"steps": 1, "best_metric": "questions/accuracy/shape"})
    metrics = Trainer(run).fit().metrics
    for source in run.data.validation:
        assert {f"{source.name}/{key}" for key in CHOOSABLE[source.task]} <= metrics.keys()
        for key in CHOOSABLE[source.task]:
            changed = run.train.model_copy(update={"best_metric": f"{source.name}/{key}"})
            check_best_metric(run.model_copy(update={"train": changed}))
