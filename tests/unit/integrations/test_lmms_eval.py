"""The adapter inside the real lmms-eval, which finds it by its entry point, on a tiny local task of each kind.

lmms-eval is not in the `dev` extra (it wants an older PyAV); docs/harnesses.md says how these tests are run.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vljepa.errors import CheckpointError, ConfigError, DataError

pytest.importorskip("lmms_eval")

from datasets import Dataset, DatasetDict
from lmms_eval import evaluator
from lmms_eval.tasks import TaskManager

from vljepa import VLJEPA, VLJEPAProcessor, ask, caption
from vljepa.integrations.lmms_eval import VLJEPAModel

SAMPLE = Path(__file__).parents[2] / "assets" / "mini_sample"
COUNT = 6
COMMON = """
dataset_path: {data}
dataset_kwargs: {{load_from_disk: true}}
test_split: test
doc_to_visual: image_of
doc_to_text: question
"""
CHOICE = """
task: local_choice
output_type: multiple_choice
target_delimiter: " "
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WORDS = """
task: local_words
output_type: generate_until
doc_to_target: answer
generation_kwargs: {until: ["\\n"], max_new_tokens: 16}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true, ignore_case: true}]
"""


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    lines = (SAMPLE / "questions.jsonl").read_text(encoding="utf-8").splitlines()[:COUNT]
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> TaskManager:
    """Tasks `local_choice` and `local_words` in the harness's own form."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("tasks")
    columns = {
        "image": [Image.open(SAMPLE / row["image"]).convert("RGB") for row in rows],
        "question": [row["query"] for row in rows],
        "choices": [row["candidates"] for row in rows],
        "answer": [row["text"][0] for row in rows],
    }
    DatasetDict({"test": Dataset.from_dict(columns)}).save_to_disk(folder / "data")
    (folder / "utils.py").write_text('def image_of(doc):\n    return [doc["image"].convert("RGB")]\n')
    common = COMMON.format(data=folder / "data").replace("image_of", "!function utils.image_of")
    for name, text in (("choice", CHOICE), ("words", WORDS)):
        (folder / f"{name}.yaml").write_text(text + common)
    return TaskManager("ERROR", include_path=str(folder), model_name="vljepa")


def accuracy(tasks: TaskManager, name: str, metric: str) -> float:
    result = evaluator.simple_evaluate(
        model="vljepa", model_args="pretrained=mini,device=cpu", tasks=[name], task_manager=tasks, batch_size=4,
        log_samples=False, bootstrap_iters=0,
    )  # fmt: skip
    return float(result["results"][name][f"{metric},none"])


@pytest.mark.assets
def test_choices_and_words_score_what_ask_and_caption_score(tasks: TaskManager, rows: list[dict[str, Any]]) -> None:
    model, processor = VLJEPA.from_pretrained("mini"), VLJEPAProcessor.from_pretrained("mini")
    chosen, said = 0, 0
    for row in rows:
        image, answer = SAMPLE / row["image"], row["text"][0]
        [guess] = ask(model, processor, image, question=row["query"], choices=row["candidates"])
        [words] = caption(model, processor, image, query=row["query"])
        chosen += guess.label == answer
        said += words.text == answer
    assert chosen > 0
    assert said > 0
    assert accuracy(tasks, "local_choice", "acc") == pytest.approx(chosen / COUNT)
    assert accuracy(tasks, "local_words", "exact_match") == pytest.approx(said / COUNT)


def test_likelihoods_are_shares_among_the_choices_of_a_sample(toy: str, images: list) -> None:
    model = VLJEPAModel(toy)
    model.task_dict = {"t": {"test": images}}
    place = [(lambda doc: [doc], number, "t", "test") for number in (0, 1)]
    asked = [("what?", word, *place[number]) for word in (" cat", " dog") for number in (0, 1)]
    requests = [SimpleNamespace(args=args) for args in (*asked, ("what?", " dog", *place[0]))]
    scores = [result.text for result in model.loglikelihood(requests)]
    for numbers in ((0, 2, 4), (1, 3)):
        assert sum(math.exp(-scores[number][0]) for number in numbers) == pytest.approx(1)
    assert scores[2][0] == pytest.approx(scores[4][0])
    assert [best for _, best in (scores[1], scores[3])] == [scores[1] < scores[3], scores[3] < scores[1]]
    same = model.loglikelihood([requests[2], requests[4]])
    assert [best.text[1] for best in same] == [False, False], "equal choices: none is the likeliest"


def test_what_does_not_fit_is_refused(toy: str, images: list) -> None:
    model = VLJEPAModel(toy)
    model.task_dict = {"t": {"test": images}}
    one = ("what?", " cat", lambda doc: [doc], 0, "t", "test")
    with pytest.raises(ConfigError, match="single choice"):
        model.loglikelihood([SimpleNamespace(args=one)])
    with pytest.raises(ConfigError, match="acc_mutual_info"):
        model.loglikelihood([SimpleNamespace(args=("", "cat"))])
    two = ("what?", " cat", lambda doc: [doc, doc], 0, "t", "test")
    with pytest.raises(DataError, match="has 2 visuals"):
        model.loglikelihood([SimpleNamespace(args=two), SimpleNamespace(args=two)])
    with pytest.raises(CheckpointError, match="no Y-Decoder"):
        model.generate_until([SimpleNamespace(args=("what?", {}, *one[2:]))])
    with pytest.raises(ConfigError, match="several rounds"):
        model.generate_until_multi_round([])
