"""lmms-eval: `lmms-eval --model vljepa --model_args pretrained=mini --tasks TASK`; it finds this by its entry point.

Answers are words of the Y-Decoder, or the likeliest choice. What is right is for the harness to say: its POPE wants
exactly "yes" or "no", and of equally likely choices it takes the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lmms_eval.api.instance import GenerationResult
from lmms_eval.api.model import lmms
from lmms_eval.models.registry_v2 import ModelManifest
from numpy.typing import NDArray
from PIL import Image

from vljepa.errors import ConfigError, DataError
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.classification import softmax
from vljepa.processing.answers import prior_scores


def manifest() -> ModelManifest:
    """What the entry point `lmms_eval.models` gives the harness."""
    return ModelManifest(model_id="vljepa", simple_class_path=f"{__name__}.VLJEPAModel")


class VLJEPAModel(lmms):
    """A model as lmms-eval calls it: one image and a text per request, the text is the query.

    Args:
        pretrained: Preset, folder or repository, as for `VLJEPA.from_pretrained`.
        device: As for `Embedder.from_pretrained`.
        decoder: Folder of a Y-Decoder to use instead of the model's own.
        batch_size: Requests that are answered at a time.
        max_batch_size: The harness's, not used.

    Raises:
        VLJEPAError: No such model, device or decoder.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str = "mini",
        device: str | None = None,
        decoder: str | None = None,
        batch_size: int | str = 1,
        max_batch_size: int | None = None,
    ) -> None:
        super().__init__()
        del max_batch_size
        self.embedder = Embedder.from_pretrained(pretrained, device=device, decoder=decoder)
        self.batch_size = int(batch_size)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Words for each request, cut at its stop strings.

        They are generated as the decoder's validation chose; of the task's settings, which are meant for large language
        models, only `until` counts.
        """
        self.embedder.require_words()
        texts: list[str] = []
        for start in range(0, len(requests), self.batch_size):
            batch = [request.args for request in requests[start : start + self.batch_size]]
            rows, classes = self._predict([(query, *place) for query, _, *place in batch])
            for number, (query, settings, *_) in enumerate(batch):
                known = None if classes is None else classes[[number]]
                [words] = self.embedder.write(rows[[number]], known, task="answer" if query.strip() else "caption")
                texts.append(_until(words.text, settings.get("until")))
        return texts

    def loglikelihood(self, requests: Sequence[Any]) -> list[GenerationResult]:
        """Loss of each choice among the choices of its sample, and whether it is the likeliest: `text` of a result.

        Against its name, the harness wants the negative logarithm of the probability here and takes the least; and its
        loop (0.7.3) makes a string of any pair that is not wrapped.

        An embedding has no likelihood of its own, only among candidates: softmax(cosine / temperature) with the
        temperature that `ask` uses. When two are equal, none is the likeliest. Metrics that divide by the length of a
        choice (`acc_norm`) mean nothing here; use `acc`.

        Raises:
            ConfigError: A sample with a single choice, or a request without an image.
        """
        samples: dict[tuple[Any, ...], list[int]] = {}
        for number, request in enumerate(requests):
            samples.setdefault(_sample(request.args), []).append(number)
        scores: dict[int, GenerationResult] = {}
        for sample, numbers in samples.items():
            if len(numbers) < 2:
                raise ConfigError(
                    f"{sample} of lmms-eval has a single choice; an embedding has no likelihood of its own.",
                    fix="use tasks of multiple choice, or generate_until.",
                )
            losses = self._losses([requests[number].args for number in numbers])
            alone = int((losses == losses.min()).sum()) == 1
            for number, loss in zip(numbers, losses, strict=True):
                scores[number] = GenerationResult((float(loss), alone and bool(loss == losses.min())))
        return [scores[number] for number in range(len(requests))]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not supported: a query has no earlier rounds.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("vljepa has no dialogue of several rounds.", fix="choose tasks of one round.")

    def _losses(self, choices: Sequence[tuple[Any, ...]]) -> NDArray[np.float64]:
        place = choices[0][2:]
        queries = list(dict.fromkeys(query for query, *_ in choices))  # one, but where the choices are in the query
        seen = dict(zip(queries, self._predict([(query, *place) for query in queries])[0], strict=True))
        rows = np.stack([seen[query] for query, *_ in choices])
        texts = [target if isinstance(target, str) else target(self._doc(*place[1:])) for _, target, *_ in choices]
        texts = [text.strip() for text in texts]
        calibration = self.embedder.model.config.calibration
        scores = (rows * self.embedder.texts(texts)).sum(axis=1) + prior_scores(calibration.answers, texts)
        return -np.log(softmax(scores[None], temperature=calibration.temperature("ask", candidates=len(texts)))[0])

    def _predict(self, requests: Sequence[tuple[Any, ...]]) -> tuple[Rows, Rows | None]:
        """Embeddings of (query, visuals of a document, document's number, task, split), and class probabilities."""
        images = []
        for _, visuals_of, *place in requests:
            visuals = visuals_of(self._doc(*place)) or []
            if len(visuals) != 1 or not isinstance(visuals[0], Image.Image):
                raise DataError(
                    f"document {place[0]} of the task {place[1]!r} has {len(visuals)} visuals, or no image.",
                    fix="choose tasks with one image per question.",
                )
            images.append(visuals[0])
        pixels = [self.embedder.read(image) for image in images]
        return self.embedder.answered(pixels, [(place, query.strip()) for place, (query, *_) in enumerate(requests)])

    def _doc(self, number: int, task: str, split: str) -> Any:
        return self.task_dict[task][split][number]


def _sample(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Task, split and number of the document that a request for a likelihood is about."""
    if len(arguments) != 6:
        raise ConfigError("a request of lmms-eval has no image, as for acc_mutual_info.", fix="use the metric acc.")
    return arguments[4], arguments[5], arguments[3]


def _until(text: str, stops: str | Sequence[str] | None) -> str:
    for stop in [stops] if isinstance(stops, str) else stops or []:
        text = text.partition(stop)[0] if stop else text
    return text
