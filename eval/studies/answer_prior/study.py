"""Trains on skewed questions, and reads the test questions once per model; the baselines do not look, or do not train.

Shapes: N questions, C candidates, F features, D width of the shared space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eval.core import provenance
from eval.core.console import log
from eval.core.embedding import EncodedImages, FileEmbedder
from eval.core.result import Context, Result
from eval.core.statistics import interval
from eval.studies.answer_prior.build import SPLITS, fold_of, write_data
from eval.tasks.question_only import swapped_images
from vljepa.configs import RunConfig, SourceConfig, load_run_config
from vljepa.data.baselines import STRENGTHS, Majority, expected_hit, fit_classifier
from vljepa.data.records import Record
from vljepa.data.sources import load_source
from vljepa.inference.embed import Embedder
from vljepa.metrics import top_k_hits
from vljepa.processing.answers import prior_scores
from vljepa.training.trainer import Trainer

Hits = NDArray[np.float64]
RECIPE = Path("recipes/lora_vqa.yaml")
BEFORE = ("objective.answers=0", "train.steps=200", "train.eval_every=50", "train.patience=null")
"""The recipe before there was a softmax over answers."""
SETS = ("objects", "captions")
COMPARED = (("recipe", "question only"), ("recipe", "image and question"), ("recipe", "contrast alone"))


def measure(
    context: Context,
    *,
    seeds: Sequence[int],
    sets: Sequence[str] = SETS,
    folds: int = 1,
    held_out: str = "recipes/mini/splits/photos.json",
) -> Result:
    """Build the questions, train, and measure every arm.

    Args:
        context: `photos`; a run that is complete in the work folder is not trained again.
        seeds: Of the runs.
        sets: Which of SETS are measured.
        folds: Of a cross-validation by image; 1 is the one split of `held_out`.
        held_out: JSON file whose `test` and `validation` list the ids of photos that mini has not been trained on.
    """
    photos, work = context.found.files["photos"].parent, context.work / "answer_prior"
    parts = json.loads((provenance.ROOT / held_out).read_text(encoding="utf-8"))
    found = {}
    for name in sets:
        sizes, tested, trained = [], [], []
        hits: dict[str, list[Hits]] = {}
        for fold in range(folds):
            place = work if folds == 1 else work / f"fold{fold}of{folds}"
            held = parts if folds == 1 else fold_of(parts, fold, folds=folds)
            sizes.append(write_data(photos, place / "data", held_out=held)[name])
            rows = {split: read_rows(place / "data", name, split, photos=photos) for split in SPLITS}
            tested += rows["test"]
            of_fold = baselines(rows, context.embedder)
            _note(name, of_fold)
            trained.append([_train_and_test(rows["test"], name, seed, photos=photos, work=place) for seed in seeds])
            of_fold |= {arm: np.mean([one[arm] for one in trained[-1]], axis=0) for arm in trained[-1][0]}
            for arm, values in of_fold.items():
                hits.setdefault(arm, []).append(values)
        found[name] = {
            "sizes": {key: round(float(np.mean([one[key] for one in sizes]))) for key in sizes[0]},
            "tested": {"questions": len(tested), "photos": len({record.source_id for record in tested})},
            "by_seed": [
                {arm: float(np.concatenate([one[seed][arm] for one in trained]).mean()) for arm in trained[0][0]}
                for seed in range(len(seeds))
            ],
            **_summary(tested, {arm: np.concatenate(values) for arm, values in hits.items()}),
        }
    return Result(
        rows=sum(one["tested"]["questions"] for one in found.values()),
        pool=[one["tested"] for one in found.values()],
        prompt="the question, as it is",
        more={"seeds": list(seeds), "sets": found},
    )


def _note(name: str, hits: dict[str, Hits]) -> None:
    shares = ", ".join(f"{arm} {float(values.mean()):.3f}" for arm, values in hits.items())
    log(f"{name}: {shares}")


def read_rows(data: Path, name: str, split: str, *, photos: Path) -> list[Record]:
    """Questions of one set and split."""
    return load_source(SourceConfig.model_validate(_source(data, name, split, photos=photos)))


def baselines(rows: dict[str, list[Record]], mini: Embedder) -> dict[str, Hits]:
    """Chance of the right answer to each test question, without training the model."""
    train, test = rows["train"], rows["test"]
    images = [record.image for several in rows.values() for record in several]
    majority, typed = Majority(train), Majority(train, alike=lambda record: record.type)
    return {
        "majority": np.array([majority.hit(record) for record in test]),
        "majority of the type": np.array([typed.hit(record) for record in test]),
        "question only": _regression(rows, _Features(train, mini, look=False)),
        "image and question": _regression(rows, _Features(train, mini, look=True, images=images)),
    }


class _Features:
    """Rows of numbers for a linear classifier, standardised over the training rows, with a column of ones."""

    def __init__(self, train: Sequence[Record], mini: Embedder, *, look: bool, images: Sequence[Any] = ()) -> None:
        self.mini = mini
        words = {word for record in train for word in record.query.rstrip("?").split()}
        self.words = {word: place for place, word in enumerate(sorted(words))}
        self._images = EncodedImages(mini, images) if look else None
        raw_NF = self._raw(train)
        self.mean_F, self.std_F = raw_NF.mean(0), raw_NF.std(0).clamp(min=1e-4)

    def __call__(self, records: Sequence[Record]) -> Tensor:
        """[N, F + 1]."""
        scaled_NF = (self._raw(records) - self.mean_F) / self.std_F
        return torch.cat([scaled_NF, torch.ones(len(records), 1)], dim=1)

    def _raw(self, records: Sequence[Record]) -> Tensor:
        queries = list(dict.fromkeys(record.query for record in records))
        embedded = dict(zip(queries, torch.from_numpy(self.mini.texts(queries)), strict=True))
        bags_NW = torch.zeros(len(records), len(self.words))
        for number, record in enumerate(records):
            bags_NW[number, [self.words[one] for one in record.query.rstrip("?").split() if one in self.words]] = 1
        parts = [bags_NW, torch.stack([embedded[record.query] for record in records])]
        if self._images is not None:
            parts.append(torch.from_numpy(self._images.features([record.image for record in records])))
        return torch.cat(parts, dim=1)


def _regression(rows: dict[str, list[Record]], features: _Features) -> Hits:
    """Logistic regression over the training answers, its regularisation chosen on validation."""
    train, held = rows["train"], rows["validation"]
    answers = {answer: place for place, answer in enumerate(train[0].candidates)}
    counts_NA = torch.zeros(len(train), len(answers))
    counts_NA[range(len(train)), [answers[record.texts[0]] for record in train]] = 1
    train_NF, held_NF, test_NF = features(train), features(held), features(rows["test"])
    # Hundreds of standardised features want more regularisation than words do.
    fitted = [fit_classifier(train_NF, counts_NA, strength=one) for one in (0.0001, 0.001, 0.01, *STRENGTHS)]
    best = max(fitted, key=lambda weights_FA: _hits(held_NF @ weights_FA, held).mean())
    return _hits(test_NF @ best, rows["test"])


def _hits(scores_NA: Tensor, records: Sequence[Record]) -> Hits:
    scored = zip(scores_NA.tolist(), records, strict=True)
    return np.array([expected_hit(scores, record.candidates, record.texts[0]) for scores, record in scored])


def _train_and_test(test: Sequence[Record], name: str, seed: int, *, photos: Path, work: Path) -> dict[str, Hits]:
    """Hits of every trained arm with one seed."""
    hits: dict[str, Hits] = {}
    for arms, changes in ((("contrast alone", "contrast with prior"), BEFORE), (("softmax", "recipe"), ())):
        run = recipe(name, seed, changes, photos=photos, work=work, output=f"{name}_{arms[1]}_{seed}".replace(" ", "_"))
        embedder = Embedder.from_pretrained(str(Trainer(run, device="cpu").fit().model_folder))
        pairs = [record.image for record in test]
        hits[arms[0]] = answers(embedder, test, pairs, prior=False)
        hits[arms[1]] = answers(embedder, test, pairs, prior=True)
    hits["swapped"] = answers(embedder, test, swapped_images(test), prior=True)
    _note(f"{name}, seed {seed}", hits)
    return hits


def recipe(name: str, seed: int, changes: Sequence[str], *, photos: Path, work: Path, output: str) -> RunConfig:
    """The shipped recipe on one set of questions, changed."""
    train = _source(work / "data", name, "train", photos=photos) | {"name": "questions"}
    held = _source(work / "data", name, "validation", photos=photos) | {"name": "held_out"}
    return load_run_config(
        RECIPE,
        [
            f"data.train={json.dumps([train])}",
            f"data.validation={json.dumps([held])}",
            f"data.cache.folder={work / 'cache'}",
            f"train.output={work / 'runs' / output}",
            f"train.seed={seed}",
            *changes,
        ],
    )


def answers(embedder: Embedder, records: Sequence[Record], images: Sequence[Any], *, prior: bool) -> Hits:
    """Whether each question is answered right, as `vljepa ask` answers it; a tie is wrong."""
    rows_ND = FileEmbedder(embedder).ask([(image, record.query) for image, record in zip(images, records, strict=True)])
    candidates = records[0].candidates
    scores_NC = rows_ND @ embedder.texts(candidates).T
    if prior:
        scores_NC = scores_NC + prior_scores(embedder.model.config.calibration.answers, candidates)
    labels_N = np.array([candidates.index(record.texts[0]) for record in records])
    return top_k_hits(scores_NC, labels_N).astype(np.float64)


def _summary(test: Sequence[Record], hits: dict[str, Hits]) -> dict[str, Any]:
    images = [record.source_id for record in test]
    kinds_N = np.array([record.type for record in test])
    return {
        "accuracy": {arm: interval(values, images) for arm, values in hits.items()},
        "by_type": {
            kind: {arm: float(values[kinds_N == kind].mean()) for arm, values in hits.items()}
            for kind in sorted(set(kinds_N.tolist()))
        },
        "differences": {f"{one} - {other}": interval(hits[one] - hits[other], images) for one, other in COMPARED},
    }


def _source(data: Path, name: str, split: str, *, photos: Path) -> dict[str, Any]:
    path = str((data / name / f"{split}.jsonl").resolve())
    return {"name": name, "path": path, "root": str(photos.resolve()), "task": "vqa"}
