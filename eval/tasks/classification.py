"""Zero-shot classification of images or videos: a folder per class, or a table of files and labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from eval.core.embedding import FileEmbedder, Rows, readable, visual
from eval.core.result import Context, Result
from eval.core.statistics import interval
from eval.core.suite import Found
from eval.tasks.questions import listed
from vljepa.data.formats.walking import IMAGES
from vljepa.data.records import Record
from vljepa.inference.candidates import Chances
from vljepa.inference.embed import Embedder
from vljepa.inference.naming import Naming
from vljepa.metrics import auroc, expected_calibration_error, mean_per_class, top_k_hits

COUNTS = (2, 10, 100)
"""Candidates of the calibration errors, besides all."""
VIDEOS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".gif"})


def measure(
    context: Context,
    *,
    item: str = "image",
    label: str = "label",
    split: str = "",
    templates: Sequence[str] = (),
    frames: int = 1,
    others: Literal["", "imagenet-1k"] = "",
) -> Result:
    """Top-1, top-5, mean per class and calibration error; the candidates are the labels that occur.

    They are those of `classify`, where the classifier's own evidence counts; top-1 and top-5 of the cosines alone stand
    beside them. The calibration error is measured with 2, 10 and 100 candidates too, as far as there are: the right one
    and others drawn for each image; and so is whether none of them is told, of a model that knows it.

    Args:
        context: The files; `rows` is a folder with a folder per class, or a table.
        item: Column of the image or video.
        label: Column of the class.
        split: Value that the column `split` must have; empty takes every row.
        templates: Texts of a class, `{}` its name, whose embeddings are averaged; the model's own when empty.
        frames: Frames of a video; 1 for images.
        others: Candidates that no image shows: the first names of ImageNet's classes that are not among the labels.
    """
    found, embedder = context.found, context.embedder
    samples = list(_samples(found, item=item, label=label, split=split))
    if not samples:
        raise found.wrong("rows", "it has no images or videos")
    names = sorted({name for _, name in samples})
    shown = len(names)
    names += [] if not others else _other_names(names)
    files = FileEmbedder(embedder, frames=frames)
    rows_ND, classes_NK = files.answered([(path, "") for path, _ in samples])
    kept_N = readable(rows_ND)
    labels_N = np.array([names.index(name) for (_, name), there in zip(samples, kept_N, strict=True) if there])
    used = list(templates) or embedder.model.config.prompts.classification
    texts_CD = embedder.names(names, templates=used)
    naming = _Choice(
        embedder,
        names,
        texts_CD,
        rows_ND[kept_N],
        None if classes_NK is None else classes_NK[kept_N],
    )
    return Result(
        metrics=_figures(naming, labels_N),
        chance={"all": {"top1": 1 / len(names), "top5": min(1.0, 5 / len(names))}},
        rows=len(samples),
        pool=[{"items": len(labels_N), "classes": shown, "candidates": len(names)}],
        candidates=listed(names),
        prompt=embedder.model.config.prompts.caption,
        frames=frames,
        skipped=files.report(),
        # Names of classes are no texts: training and test share them by design.
        examined=[Record(visual(path, frames=frames), ()) for path, _ in samples],
        more={"templates": used},
    )


@dataclass(frozen=True)
class _Choice:
    """Images and candidates, from which `classify` chooses.

    Args:
        embedder: The model.
        names: Candidates.
        texts_CD: Their embeddings.
        rows_ND: Of the images.
        classes_NK: What the classifier says of them; None without one.
    """

    embedder: Embedder
    names: list[str]
    texts_CD: Rows
    rows_ND: Rows
    classes_NK: Rows | None

    def probabilities(self) -> NDArray[np.float64]:
        """Of all candidates, [N, C]."""
        naming = Naming(self.embedder, self.names, rows=self.texts_CD)
        return naming.probabilities(self.rows_ND, self.classes_NK).candidates_NM

    def among(self, image: int, candidates: NDArray[np.intp], *, none: bool = False) -> Chances:
        """Of some candidates for one image."""
        names = [self.names[number] for number in candidates]
        naming = Naming(self.embedder, names, none=none, rows=self.texts_CD[candidates])
        classes_1K = None if self.classes_NK is None else self.classes_NK[[image]]
        return naming.probabilities(self.rows_ND[[image]], classes_1K)

    def none_of(self, image: int, candidates: NDArray[np.intp]) -> float:
        """Probability that none of some candidates is right for one image."""
        none_1 = self.among(image, candidates, none=True).none_N
        assert none_1 is not None
        return float(none_1[0])


def _figures(choice: _Choice, labels_N: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Accuracy with all candidates, and with fewer, drawn for each image with a fixed seed."""
    probabilities_NC, keys = choice.probabilities(), [str(number) for number in range(len(labels_N))]
    every, by_text_NC = probabilities_NC.shape[1], choice.rows_ND @ choice.texts_CD.T
    hits = {
        k: (top_k_hits(_logs(probabilities_NC), labels_N, k=k), top_k_hits(by_text_NC, labels_N, k=k)) for k in (1, 5)
    }
    found: dict[str, dict[str, Any]] = {
        "all": {
            "top1": interval(hits[1][0], keys),
            "top5": interval(hits[5][0], keys),
            "mean_per_class": mean_per_class(hits[1][0], labels_N),
            "calibration_error": expected_calibration_error(probabilities_NC, labels_N),
        },
        "cosines alone": {
            "top1": interval(hits[1][1], keys),
            "top5": interval(hits[5][1], keys),
            "top1_lacking": interval(hits[1][0].astype(float) - hits[1][1], keys),
        },
    }
    random = np.random.default_rng(0)
    first_N = np.zeros(len(labels_N), dtype=np.int64)
    calibration = choice.embedder.model.config.calibration
    opens = calibration.open_set is not None or calibration.pair is not None
    for count in [*(one for one in COUNTS if one < every), every]:
        drawn_NC, with_N, without_N = np.empty((len(labels_N), count)), [], []
        for place, label in enumerate(labels_N):
            wrong = random.permutation(np.delete(np.arange(every), label))
            drawn_NC[place] = choice.among(place, np.append(label, wrong[: count - 1])).candidates_NM[0]
            if opens and count < every:
                with_N.append(choice.none_of(place, np.append(label, wrong[: count - 1])))
                without_N.append(choice.none_of(place, wrong[:count]))
        found[f"{count:,} candidates"] = {
            "accuracy": float(top_k_hits(_logs(drawn_NC), first_N).mean()),
            "mean_confidence": float(drawn_NC.max(axis=1).mean()),
            "calibration_error": expected_calibration_error(drawn_NC, first_N),
            **(_none_of_them(np.array(with_N), np.array(without_N)) if with_N else {}),
        }
    return found


def _logs(probabilities_NC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in which ties are those of the ratio."""
    return np.log(np.maximum(probabilities_NC, 1e-300))


def _none_of_them(with_N: NDArray[np.float64], without_N: NDArray[np.float64]) -> dict[str, float]:
    """How well the probability of none of the candidates tells images with the right one from those without."""
    scores, absent = np.concatenate([with_N, without_N]), np.arange(2 * len(with_N)) >= len(with_N)
    is_none = scores > 0.5
    return {
        "none_auroc": auroc(scores, absent),
        "none_precision": float(absent[is_none].mean()) if is_none.any() else float("nan"),
        "none_recall": float(is_none[absent].mean()),
    }


def _other_names(names: Sequence[str]) -> list[str]:
    """A name for each class of ImageNet that has none among `names`, and whose names are not taken."""
    from vljepa.configs import LabelPriorConfig
    from vljepa.methods.vision_language.label_prior import label_names

    known = set(names)
    found: dict[str, None] = {}
    for synonyms in label_names(LabelPriorConfig(label_names="imagenet-1k")):
        several = [one.strip() for one in synonyms.split(",")]
        name = next((one for one in several if one not in known and one not in found), None)
        if name is not None and several[0] not in known:
            found[name] = None
    return list(found)


def _samples(found: Found, *, item: str, label: str, split: str) -> Iterator[tuple[Path, str]]:
    """Files and the first name of the class of each."""
    place = found.files["rows"]
    if place.is_dir():
        for folder in sorted(path for path in place.iterdir() if path.is_dir()):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in IMAGES | VIDEOS:
                    yield file, folder.name.replace("_", " ").replace("-", " ")
        return
    for row in found.rows("rows"):
        if not split or row.row.get("split") == split:
            yield row.file(item), row.texts(label)[0]
