"""Fit how a decoder of mini chooses among candidates and how sure it is: ``python recipes/mini/choice.py DECODER ...``.

The weights come from the validation photos, whose captions are known, and from photos of one thing each, whose names
are known (a folder with ``photos.jsonl``: image, names, wider; never trained on). They are written into the decoder's
config.json. The test photos are not looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vljepa.checkpoint.tensors import read_tensors, write_tensors
from vljepa.configs import AnswerChoiceConfig, ChoiceConfig
from vljepa.errors import VLJEPAError
from vljepa.inference.embed import Embedder
from vljepa.inference.words import Evidence, Task, Writer
from vljepa.metrics.captions import CiderD
from vljepa.metrics.classification import fit_logistic
from vljepa.models.decoder_knowledge import centred
from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.text import normalise_text
from vljepa.validation.naming import name_marks

AGREEMENT, LIKELIHOOD = (0.5, 1.0, 2.0), (0.0, 0.05, 0.1, 0.2, 0.4)
NAMED, WRONG = (0.0, 0.2, 0.5, 1.0), (0.0, 0.1, 0.2, 0.5)
PHRASE = (0.0, 0.02, 0.05, 0.1, 0.15)
PHRASES = 3
FALLBACK, SURE = (0.0, 0.3, 0.4, 0.5, 0.6, 0.75), (0.5, 0.6, 0.7, 0.8, 0.9)
SOURCES = ("easy_vqa", "emoji", "photos")
"""Of questions."""
ANSWERS = 900
"""Validation questions, of every source alike."""
DRAWINGS = 0.95
"""Share of the drawings that is to be told as such."""
NEAREST, COMMON = 3, 2
ANSWER_LIKELIHOOD, ANSWER_PHRASE = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6), (0.0, -0.1, -0.2, -0.3)


class Candidates:
    """Candidates for some images, with what speaks for each.

    Args:
        embedder: Model and decoder.
        paths: The images.
        query: A question for each; empty ones ask for captions.
    """

    def __init__(self, embedder: Embedder, paths: Sequence[Path], query: Sequence[str] = ()) -> None:
        task: Task = "answer" if query else "caption"
        self.writer = writer = Writer(
            embedder.model, embedder.processor, embed=embedder.texts, kept=embedder.kept_texts
        )
        self.texts: list[list[str]] = []
        self.evidence: list[list[Evidence]] = []
        classes: list[NDArray[np.float32]] = []
        for start in range(0, len(paths), 32):
            chunk = range(start, min(start + 32, len(paths)))
            pixels = [embedder.read(paths[place]) for place in chunk]
            asked = [(place, query[start + place] if query else "") for place in range(len(chunk))]
            rows, known = embedder.answered(pixels, asked)
            for texts, evidence in writer.weighed(rows, known, task=task):
                self.texts.append(texts)
                self.evidence.append(evidence)
            classes += [] if known is None else [known]
        self.classes_NK = np.concatenate(classes) if classes else None

    def captions(self, config: ChoiceConfig) -> list[str]:
        """What the writer takes, the fallback included."""
        self.writer.choice = config
        known: Any = [None] * len(self.texts) if self.classes_NK is None else self.classes_NK
        several = zip(self.texts, self.evidence, known, strict=True)
        return [self.writer.caption_of(*one).text for one in several]

    def chosen(self, config: ChoiceConfig) -> list[int]:
        """Place of the best candidate of every image."""
        return [max(range(len(some)), key=lambda place: some[place].score(config)) for some in self.evidence]


def main(arguments: list[str] | None = None) -> int:
    """Fit and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", type=Path, help="folder of the decoder")
    parser.add_argument("--model", default="mini", help="the model whose words it writes")
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py has made")
    parser.add_argument("--named", type=Path, required=True, help="folder with photos.jsonl: image, names, wider")
    parser.add_argument("--least", type=float, default=0.6, help="share of names that captions must have (default 0.6)")
    parser.add_argument("--candidates", type=int, default=4, help="beams that are candidates (default 4)")
    given = parser.parse_args(arguments)
    try:
        embedder = Embedder.from_pretrained(given.model, decoder=str(given.decoder))
    except VLJEPAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    decoder = embedder.model.y_decoder
    assert decoder is not None
    beams = max(given.candidates, decoder.config.generation.num_beams)
    decoder.config.generation = decoder.config.generation.model_copy(update={"num_beams": beams})
    decoder.config.choice = ChoiceConfig(candidates=given.candidates, phrases=PHRASES)
    captioned = {name: Captioned.read(embedder, given.data / name) for name in ("photos", "emoji")}
    named = Named.read(embedder, given.named)
    drawings_K = fit_drawings(embedder, given.data)
    decoder.set_drawings(drawings_K)
    choice, report = fit(captioned, named, decoder.config.choice, least=given.least)
    answer, answered = fit_answers(embedder, given.data)
    choice, report = choice.model_copy(update={"answer": answer}), report | answered
    file = given.decoder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["choice"] = choice.model_dump(mode="json")
    config["generation"]["num_beams"], config["drawings"] = beams, True
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    weights = given.decoder / "model.safetensors"
    tensors = read_tensors(weights, fix="train the decoder again.")
    write_tensors(tensors | {"drawings_K": drawings_K.to(tensors["shift_D"])}, weights)
    print(json.dumps({"choice": config["choice"], **report}, indent=1))
    return 0


class Captioned(NamedTuple):
    """Images with captions, and CIDEr-D of every candidate [N, C]; of fewer candidates the last is repeated."""

    found: Candidates
    cider_NC: NDArray[np.float64]
    scorer: CiderD

    @classmethod
    def read(cls, embedder: Embedder, folder: Path) -> Captioned:
        """The validation images of a folder; of several styles the last."""
        rows = {row["concept"]: row for row in _rows(folder / "captions.validation.jsonl")}.values()
        found, scorer = (
            Candidates(embedder, [folder / row["image"] for row in rows]),
            CiderD([row["text"] for row in rows]),
        )
        places = range(max(map(len, found.texts)))
        texts = [[some[min(place, len(some) - 1)] for some in found.texts] for place in places]
        return cls(found, np.stack([scorer.scores(one) for one in texts], axis=1), scorer)

    def cider(self, config: ChoiceConfig) -> float:
        """Mean of what a choice takes."""
        return float(self.cider_NC[range(len(self.cider_NC)), self.found.chosen(config)].mean())


class Named(NamedTuple):
    """Images of one thing each, and the marks of every candidate of each."""

    found: Candidates
    rows: list[dict[str, Any]]
    marks: list[dict[str, NDArray[np.float64]]]

    @classmethod
    def read(cls, embedder: Embedder, folder: Path) -> Named:
        """All images of a folder."""
        rows = _rows(folder / "photos.jsonl")
        found = Candidates(embedder, [folder / row["image"] for row in rows])
        return cls(found, rows, [_marks(some, [row] * len(some)) for some, row in zip(found.texts, rows, strict=True)])

    def of_chosen(self, mark: str, config: ChoiceConfig) -> NDArray[np.float64]:
        """Whether each image's chosen candidate has a mark."""
        return np.array([some[mark][place] for some, place in zip(self.marks, self.found.chosen(config), strict=True)])


def fit(
    captioned: dict[str, Captioned], named: Named, base: ChoiceConfig, *, least: float
) -> tuple[ChoiceConfig, dict[str, float]]:
    """Weights with the best captions of photos and drawings that name enough; the confidence; the fallback."""
    grid = [
        base.model_copy(update=dict(zip(("agreement", "likelihood", "named", "wrong", "phrase"), values, strict=True)))
        for values in product(AGREEMENT, LIKELIHOOD, NAMED, WRONG, PHRASE)
    ]

    def worth(config: ChoiceConfig) -> float:
        missing = max(0.0, least - named.of_chosen("strict", config).mean())
        return 2 * captioned["photos"].cider(config) + captioned["emoji"].cider(config) - 10 * missing

    best = max(grid, key=worth)
    chosen = named.found.chosen(best)
    values = np.array([some[place].values() for some, place in zip(named.found.evidence, chosen, strict=True)])
    weights = fit_logistic(values, named.of_chosen("lenient", best))
    best = best.model_copy(update={"confidence": weights})

    def shares(config: ChoiceConfig) -> dict[str, float]:
        marks = _marks(named.found.captions(config), named.rows)
        ciders = {
            f"{name}/cider": float(one.scorer.scores(one.found.captions(config)).mean())
            for name, one in captioned.items()
        }
        return ciders | {f"named/{mark}": float(one.mean()) for mark, one in marks.items()}

    tried = [best.model_copy(update={"fallback": low, "sure": sure}) for low, sure in product(FALLBACK, SURE)]
    found = [(config, shares(config)) for config in tried]
    return max(found, key=lambda one: 2 * one[1]["photos/cider"] + one[1]["named/lenient"] - one[1]["named/wrong"])


def fit_drawings(embedder: Embedder, data: Path) -> Tensor:
    """What tells drawings from photos, [K + 1]: `discriminant` of the training clip art and the training photos."""
    centred_NK = []
    for source in ("photos", "clipart"):
        files = [data / source / row["image"] for row in _rows(data / source / "captions.train.jsonl")]
        found = [embedder.class_probabilities(embedder.encode([embedder.read(file)])) for file in files]
        centred_NK.append(centred(torch.from_numpy(np.concatenate([one for one in found if one is not None]))).double())
    return discriminant(*centred_NK)


def discriminant(photos_NK: Tensor, drawings_MK: Tensor) -> Tensor:
    """Fisher's weights, of unit norm, with a ridge of the mean variance; and a bias, [K + 1]: above 0 are drawings.

    The bias is such that `DRAWINGS` of the drawings are above: the few photos lie further off than others do.
    """
    means = photos_NK.mean(0), drawings_MK.mean(0)
    inside = torch.cat([photos_NK - means[0], drawings_MK - means[1]])
    covariance_KK = inside.T @ inside / len(inside)
    ridge = covariance_KK.diagonal().mean() * torch.eye(len(covariance_KK), dtype=torch.float64)
    weights_K = F.normalize(torch.linalg.solve(covariance_KK + ridge, means[1] - means[0]), dim=0)
    return torch.cat([weights_K, -torch.quantile(drawings_MK @ weights_K, 1 - DRAWINGS)[None]]).float()


def fit_answers(embedder: Embedder, data: Path) -> tuple[AnswerChoiceConfig, dict[str, float]]:
    """How an answer is chosen, and the logistic regression of whether it is right, word for word.

    Best is the largest share of right validation answers plus their mean cosine to the right ones, among choices with
    which no source has fewer right ones than with the decoder's own first answers.
    """
    decoder = embedder.model.y_decoder
    assert decoder is not None
    config = AnswerChoiceConfig(texts=common_answers(data, decoder.phrases), nearest=NEAREST)
    decoder.config.choice = decoder.config.choice.model_copy(update={"answer": config})
    asked = {source: Asked.read(embedder, data / source) for source in SOURCES}
    own = {source: one.right_NC[:, 0].mean() for source, one in asked.items()}
    tried = [
        config.model_copy(update={"likelihood": likelihood, "phrase": phrase})
        for likelihood, phrase in product(ANSWER_LIKELIHOOD, ANSWER_PHRASE)
    ]

    def worth(config: AnswerChoiceConfig) -> tuple[bool, float]:
        picked = {source: one.picked(config) for source, one in asked.items()}
        no_worse = all(right.mean() >= own[source] for source, (right, _, _) in picked.items())
        return no_worse, float(np.mean([(right + cosine).mean() for right, cosine, _ in picked.values()]))

    best = max(tried, key=worth)
    picked = {source: one.picked(best) for source, one in asked.items()}
    right = np.concatenate([one for one, _, _ in picked.values()]).astype(float)
    weights = fit_logistic(np.concatenate([values for _, _, values in picked.values()])[:, :3], right)
    report = {f"answers/{source}/own": float(share) for source, share in own.items()}
    report |= {f"answers/{source}": float(one.mean()) for source, (one, _, _) in picked.items()}
    return best.model_copy(update={"confidence": weights}), report


def common_answers(data: Path, phrases: Sequence[str]) -> list[str]:
    """Training answers of at least `COMMON` rows that are no phrases."""
    rows = [row for source in SOURCES for row in _rows(data / source / "questions.train.jsonl")]
    counts = Counter(normalise_text(text) for row in rows for text in row["text"])
    return sorted(text for text, count in counts.items() if count >= COMMON and text not in phrases)


class Asked(NamedTuple):
    """Questions: evidence of the candidates, whether each is right, and its cosine to the right answer, [N, C]."""

    evidence: list[list[Evidence]]
    right_NC: NDArray[np.bool_]
    cosine_NC: NDArray[np.float32]

    @classmethod
    def read(cls, embedder: Embedder, folder: Path) -> Asked:
        """Validation questions of a folder, every n-th; of fewer candidates the last is repeated."""
        rows = _rows(folder / "questions.validation.jsonl")
        rows = rows[:: max(1, len(rows) // (ANSWERS // len(SOURCES)))]
        found = Candidates(embedder, [folder / row["image"] for row in rows], [row["query"] for row in rows])
        width = max(map(len, found.texts))
        texts = [[*some, *some[-1:] * (width - len(some))] for some in found.texts]
        wanted = [row["text"][0] for row in rows]
        wanted_norm = [normalise_text(one) for one in wanted]
        right = [[normalise_text(one) == want for one in some] for some, want in zip(texts, wanted_norm, strict=True)]
        wanted_ND = embedder.kept_texts(wanted)
        said_NCD = embedder.kept_texts([text or " " for some in texts for text in some]).reshape(len(rows), width, -1)
        return cls(found.evidence, np.array(right), np.einsum("ncd,nd->nc", said_NCD, wanted_ND))

    def picked(self, config: AnswerChoiceConfig) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float64]]:
        """Of the best candidates: whether they are right, cosine to the right answer, values of the confidence."""
        best = [max(range(len(some)), key=lambda place: some[place].score(config)) for some in self.evidence]
        rows = range(len(best))
        values = np.array([some[place].values() for some, place in zip(self.evidence, best, strict=True)])
        return self.right_NC[rows, best], self.cosine_NC[rows, best], values


def _marks(texts: Sequence[str], rows: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    names, wider = [row["names"] for row in rows], [row["wider"] for row in rows]
    return name_marks(texts, names, wider, Taxonomy.of("imagenet-1k"))


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    raise SystemExit(main())
