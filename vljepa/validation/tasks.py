"""Validation by the task's own metric, with the collapse panel beside it.

Every task names its metrics `SOURCE/...` and has one main metric `SOURCE/main`; `mean` is the mean of the main ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vljepa.configs import RunConfig
from vljepa.data.records import Record, Visual
from vljepa.errors import ConfigError
from vljepa.metrics.classification import top_k_hits
from vljepa.metrics.collapse import effective_rank, matched_minus_shuffled, uniformity
from vljepa.metrics.retrieval import retrieval
from vljepa.processing.text import normalise_text
from vljepa.validation.encoder import Encoder

PANEL = 1024
"""Samples of the collapse panel, evenly spaced over the source."""

CHOOSABLE = {
    "retrieval": (
        "main",
        *(f"{way}/{key}" for way in ("image_to_text", "text_to_image") for key in ("r1", "r5", "r10", "mrr")),
        "matched_minus_shuffled",
    ),
    "vqa": ("main", "accuracy", "matched_minus_shuffled"),
}
"""What `best` may be chosen by, by the task of a source: metrics of which more is better."""

Metrics = dict[str, float]


class Task(Protocol):
    """A validation source with its way of measuring."""

    name: str

    def texts(self) -> list[str]:
        """Every text that it will ask the Y-Encoder for."""
        ...

    def pairs(self) -> list[tuple[Visual, str]]:
        """Every (image, query) that it will ask the Predictor for."""
        ...

    def evaluate(self, encoder: Encoder) -> Metrics:
        """Measure."""
        ...


class RetrievalTask:
    """Images against texts, both ways.

    An item is an image, embedded under the caption prompt; every text of a row is a text of its own. An image has
    all its texts as positives (rows with equal `source_id` are one image), and a text all images that have it
    (compared in normal form).

    Args:
        name: Of the source.
        records: Its rows; their own queries do not matter.
        caption_prompt: `prompts.caption` of the model.
    """

    def __init__(self, name: str, records: Sequence[Record], *, caption_prompt: str) -> None:
        self.name = name
        self.caption_prompt = caption_prompt
        items: dict[str, int] = {}
        texts: dict[str, int] = {}
        self._paths: list[Visual] = []
        self._texts: list[str] = []
        pairs: set[tuple[int, int]] = set()
        for record in records:
            assert record.image is not None
            if record.source_id not in items:
                self._paths.append(record.image)
            item = items.setdefault(record.source_id, len(items))
            for text in record.texts:
                key = normalise_text(text)
                if key not in texts:
                    self._texts.append(text)
                pairs.add((item, texts.setdefault(key, len(texts))))
        self.texts_of_item: list[list[int]] = [[] for _ in items]
        self.items_of_text: list[list[int]] = [[] for _ in texts]
        for item, row in sorted(pairs):
            self.texts_of_item[item].append(row)
            self.items_of_text[row].append(item)

    def texts(self) -> list[str]:
        """See `Task`."""
        return self._texts

    def pairs(self) -> list[tuple[Visual, str]]:
        """See `Task`."""
        return [(path, self.caption_prompt) for path in self._paths]

    def evaluate(self, encoder: Encoder) -> Metrics:
        """R@k, median rank and MRR both ways; the main metric is the mean of R@1 both ways."""
        items_ND, texts_MD = encoder.predictions(self.pairs()), encoder.texts(self.texts())
        to_text = retrieval(items_ND, texts_MD, positives=self.texts_of_item)
        to_image = retrieval(texts_MD, items_ND, positives=self.items_of_text)
        metrics = {f"{self.name}/image_to_text/{key}": value for key, value in to_text.items()}
        metrics |= {f"{self.name}/text_to_image/{key}": value for key, value in to_image.items()}
        metrics[f"{self.name}/main"] = (to_text["r1"] + to_image["r1"]) / 2
        targets_ND = texts_MD[[texts[0] for texts in self.texts_of_item]]
        return metrics | _panel(self.name, items_ND, targets_ND)


class VqaTask:
    """Questions answered by the nearest candidate.

    Args:
        name: Of the source.
        records: Rows with candidates; the right answer is the first text.
    """

    def __init__(self, name: str, records: Sequence[Record]) -> None:
        self.name = name
        self.records = list(records)
        self._texts = list(dict.fromkeys(text for record in records for text in record.candidates))
        rows = {text: row for row, text in enumerate(self._texts)}
        self.candidates_NC = np.full((len(records), max(len(record.candidates) for record in records)), -1)
        for number, record in enumerate(records):
            self.candidates_NC[number, : len(record.candidates)] = [rows[text] for text in record.candidates]
        self.labels_N = np.array([record.candidates.index(record.texts[0]) for record in records])

    def texts(self) -> list[str]:
        """See `Task`."""
        return self._texts

    def pairs(self) -> list[tuple[Visual, str]]:
        """See `Task`."""
        return [(record.image, record.query) for record in self.records if record.image is not None]

    def scores(self, predictions_ND: NDArray[np.float32], texts_MD: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosine to every candidate [N, C]; -inf where a question has fewer."""
        scores_NC = np.full(self.candidates_NC.shape, -np.inf, dtype=np.float32)
        for number, candidates_C in enumerate(self.candidates_NC):
            given_C = candidates_C[candidates_C >= 0]
            scores_NC[number, : len(given_C)] = texts_MD[given_C] @ predictions_ND[number]
        return scores_NC

    def each_candidate(self, value: Callable[[tuple[str, ...]], NDArray[np.float32]]) -> NDArray[np.float32]:
        """A number for every candidate [N, C], from a list of candidates; 0 where a question has fewer."""
        known: dict[tuple[str, ...], NDArray[np.float32]] = {}
        values_NC = np.zeros(self.candidates_NC.shape, dtype=np.float32)
        for number, record in enumerate(self.records):
            if record.candidates not in known:
                known[record.candidates] = value(record.candidates)
            values_NC[number, : len(record.candidates)] = known[record.candidates]
        return values_NC

    def evaluate(self, encoder: Encoder) -> Metrics:
        """Accuracy, overall (the main metric) and per question type."""
        predictions_ND, texts_MD = encoder.predictions(self.pairs()), encoder.texts(self.texts())
        hits_N = top_k_hits(self.scores(predictions_ND, texts_MD), self.labels_N)
        metrics = {f"{self.name}/accuracy": float(hits_N.mean()), f"{self.name}/main": float(hits_N.mean())}
        types_N = np.array([record.type for record in self.records])
        for kind in sorted(set(types_N.tolist()) - {""}):
            metrics[f"{self.name}/accuracy/{kind}"] = float(hits_N[types_N == kind].mean())
        targets_ND = texts_MD[self.candidates_NC[np.arange(len(self.labels_N)), self.labels_N]]
        return metrics | _panel(self.name, predictions_ND, targets_ND)


def evaluate_tasks(tasks: Sequence[Task], *, encoder: Encoder) -> Metrics:
    """Metrics of all tasks, and `mean` of their main ones. Leaves the model in eval mode."""
    encoder.model.eval()
    metrics: Metrics = {}
    for task in tasks:
        metrics |= task.evaluate(encoder)
    metrics["mean"] = float(np.mean([metrics[f"{task.name}/main"] for task in tasks]))
    return metrics


def check_best_metric(run: RunConfig) -> None:
    """Refuse a `train.best_metric` that will not be measured, or of which less is better, before anything is read.

    Which types of questions a source has, only its rows can tell: their accuracy is left to `main_metric`.

    Raises:
        ConfigError: Naming those that will be measured.
    """
    sources = run.data.validation
    if not sources:
        return
    names = ["mean", *(f"{source.name}/{key}" for source in sources for key in CHOOSABLE[source.task])]
    wanted = run.train.best_metric
    by_type = any(source.task == "vqa" and wanted.startswith(f"{source.name}/accuracy/") for source in sources)
    if wanted not in names and not by_type:
        raise ConfigError(
            f"train.best_metric = {wanted!r} is not measured, or less of it is better.",
            fix=f"use one of {', '.join(names)}.",
        )


def main_metric(metrics: Metrics, *, name: str) -> float:
    """The metric that chooses `best`.

    Raises:
        ConfigError: No validation source has it.
    """
    if name not in metrics:
        raise ConfigError(
            f"train.best_metric = {name!r} is not measured.", fix=f"use one of {', '.join(sorted(metrics))}."
        )
    return metrics[name]


def _panel(name: str, predictions_ND: NDArray[np.float32], targets_ND: NDArray[np.float32]) -> Metrics:
    if len(predictions_ND) < 2:
        return {}
    step = -(-len(predictions_ND) // PANEL)
    predictions_ND, targets_ND = predictions_ND[::step], targets_ND[::step]
    return {
        f"{name}/effective_rank": effective_rank(predictions_ND),
        f"{name}/matched_minus_shuffled": matched_minus_shuffled(predictions_ND, targets_ND),
        f"{name}/uniformity": uniformity(predictions_ND),
    }
