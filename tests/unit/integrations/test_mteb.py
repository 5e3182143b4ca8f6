"""The adapter inside the real MTEB, on a tiny local task of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vljepa import metrics
from vljepa.errors import DataError
from vljepa.inference.embed import Embedder

mteb = pytest.importorskip("mteb")

from datasets import Dataset, DatasetDict  # noqa: E402
from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData  # noqa: E402
from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification  # noqa: E402

from vljepa.integrations.mteb import VLJEPAEncoder  # noqa: E402

Emoji = list[tuple[Path, str]]


def about(kind: str, score: str) -> Any:
    return mteb.TaskMetadata(
        name=f"Local{kind}",
        type=kind,
        main_score=score,
        description="images of the tests",
        dataset={"path": "local", "revision": "1"},
        category="i2t",
        modalities=["image", "text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
    )


@pytest.fixture(scope="module")
def encoder(toy: str) -> VLJEPAEncoder:
    return VLJEPAEncoder(toy)


def scores(encoder: VLJEPAEncoder, task: Any) -> dict[str, Any]:
    result = mteb.evaluate(encoder, task, cache=None, co2_tracker=False, show_progress_bar=False)
    assert result.model_name == encoder.mteb_model_meta.name
    return dict(result.task_results[0].scores["test"][0])


def test_classification_by_names(encoder: VLJEPAEncoder, toy: str, emoji: Emoji, images: list) -> None:
    names = [name for _, name in emoji]

    class Names(AbsTaskZeroShotClassification):
        metadata = about("ZeroShotClassification", "accuracy")

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            rows = {"image": images, "label": list(range(len(names)))}
            self.dataset, self.data_loaded = DatasetDict({"test": Dataset.from_dict(rows)}), True

        def get_candidate_labels(self) -> list[str]:
            return names

    embedder = Embedder.from_pretrained(toy)
    cosine = embedder.images(images) @ embedder.texts(names).T
    assert scores(encoder, Names())["accuracy"] == metrics.top_k_hits(cosine, np.arange(len(names))).mean()


def test_retrieval_of_texts_and_of_answers(encoder: VLJEPAEncoder, toy: str, emoji: Emoji, images: list) -> None:
    names = [name for _, name in emoji]
    questions = ["what is this?" if number % 2 else "which colour is it?" for number in range(len(names))]
    embedder = Embedder.from_pretrained(toy)

    class Texts(AbsTaskRetrieval):
        metadata = about("Any2AnyRetrieval", "ndcg_at_10")
        asked = False

        def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
            queries = {"id": [f"q{number}" for number in range(len(names))], "image": images}
            if self.asked:
                queries["text"] = questions
            corpus = {"id": [f"d{number}" for number in range(len(names))], "text": names}
            right = {f"q{number}": {f"d{number}": 1} for number in range(len(names))}
            split = RetrievalSplitData(
                corpus=Dataset.from_dict(corpus),
                queries=Dataset.from_dict(queries),
                relevant_docs=right,
                top_ranked=None,
            )
            self.dataset, self.data_loaded = {"default": {"test": split}}, True

    class Answers(Texts):
        metadata = about("VisionCentricQA", "accuracy").model_copy(update={"category": "it2t"})
        asked = True

    positives = [[number] for number in range(len(names))]
    for task, rows in ((Texts(), embedder.images(images)), (Answers(), embedder.pairs(images, questions))):
        ours = metrics.retrieval(rows, embedder.texts(names), positives=positives)
        found = scores(encoder, task)
        assert found["hit_rate_at_1"] == pytest.approx(ours["r1"], abs=1e-5), task
        assert found["hit_rate_at_5"] == pytest.approx(ours["r5"], abs=1e-5), task


def test_what_is_neither_image_nor_text_is_refused(encoder: VLJEPAEncoder) -> None:
    with pytest.raises(DataError, match="has audio and neither"):
        encoder.encode([{"audio": []}], task_metadata=None, hf_split="test", hf_subset="default")
