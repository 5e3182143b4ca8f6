"""What a Y-Decoder is measured by: held-out texts, captions of validation images, and the round trip of a text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from vljepa.configs import DecoderRunConfig
from vljepa.errors import ConfigError
from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length
from vljepa.models.types import Entities
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.text import normalise_text
from vljepa.training.decoder_inputs import DecoderInputs, ImageTask

BATCH = 64
LENGTH_PENALTIES = (0.8, 1.0, 1.3)
SHIFTS = (0.0, 0.5, 0.75, 1.0)
ROUND_TRIP_TEXTS = 256


def check_best_metric(run: DecoderRunConfig) -> None:
    """Refuse a `train.best_metric` that will not be measured, before anything is read.

    Raises:
        ConfigError: Naming those that will.
    """
    names = ["loss"] if any(source.see == "text" for source in run.data.train) else []
    names += [f"{source.name}/cider" for source in run.data.validation]
    if run.train.best_metric not in names:
        raise ConfigError(
            f"there is no metric {run.train.best_metric!r} to choose `best` by.",
            fix=f"set train.best_metric to {' or '.join(names) or 'one of a source that you add to data.validation'}.",
        )


@torch.no_grad()
def held_out_loss(decoder: YDecoder, inputs: DecoderInputs) -> float:
    """Negative log-likelihood per token of the held-out texts, read from their own embeddings without noise."""
    texts, device = inputs.held_out, decoder.prefix.weight.device
    total, tokens = 0.0, 0
    for start in range(0, len(texts), BATCH):
        chunk = texts[start : start + BATCH]
        ids, mask = inputs.tokenizer.encode(chunk, max_tokens=decoder.config.generation.max_new_tokens)
        embeddings = torch.from_numpy(inputs.encoder.texts(chunk)).to(device)
        count = int(mask[:, 1:].sum())
        total += float(decoder(embeddings, ids.to(device), mask.to(device))) * count
        tokens += count
    return total / max(1, tokens)


def image_metrics(decoder: YDecoder, inputs: DecoderInputs, *, num_beams: int | None = None) -> dict[str, float]:
    """CIDEr-D, distinct share, length in tokens and share that ended of the captions of each task's images."""
    metrics: dict[str, float] = {}
    for task in inputs.tasks:
        texts, ended = write(decoder, inputs, task.predictions_ND, entities=task.entities, num_beams=num_beams)
        metrics |= _caption_metrics(task, texts)
        metrics[f"{task.name}/ended"] = sum(ended) / len(ended)
    return metrics


def choose_generation(decoder: YDecoder, inputs: DecoderInputs, *, beams: Sequence[int]) -> dict[str, float]:
    """Give the decoder the share of the mean gap, the beams and the length penalty that serve validation images best.

    Best is the highest CIDEr-D, mean over tasks; the penalty is tried with the best share and beams only.

    Returns:
        The metrics with that choice; empty without validation images.
    """
    if inputs.gap is None:
        return {}
    gap_D, before = inputs.gap.shift_D.to(decoder.shift_D), decoder.config.generation

    def tried(share: float, number: int, penalty: float) -> tuple[float, tuple[float, int, float], dict[str, float]]:
        decoder.shift_D.copy_(share * gap_D)
        decoder.config.generation = before.model_copy(update={"num_beams": number, "length_penalty": penalty})
        metrics = image_metrics(decoder, inputs)
        cider = sum(metrics[f"{task.name}/cider"] for task in inputs.tasks) / len(inputs.tasks)
        return cider, (share, number, penalty), metrics

    best = max((tried(share, number, 1.0) for share, number in product(SHIFTS, beams)), key=lambda one: one[0])
    share, number, _ = best[1]
    if number > 1:  # greedy knows no length penalty
        others = (tried(share, number, penalty) for penalty in LENGTH_PENALTIES)
        best = max((best, *others), key=lambda one: one[0])
    _, metrics = tried(*best[1])[1:]
    return metrics | {"shift": best[1][0]}


def round_trip(decoder: YDecoder, inputs: DecoderInputs) -> dict[str, float]:
    """Held-out text to embedding to text: cosine of the text that came back, BLEU-4, and exact matches.

    The controls read another text's embedding, and the zero embedding.
    """
    texts = inputs.held_out[:ROUND_TRIP_TEXTS]
    exact_ND = torch.from_numpy(inputs.encoder.texts(texts))
    back, _ = write(decoder, inputs, exact_ND, shift=False)
    metrics = {
        "round_trip/cosine": _cosine(back, exact_ND, inputs),
        "round_trip/bleu4": bleu4(back, [[text] for text in texts]),
        "round_trip/exact": _equal(back, texts),
    }
    # Half way round: neighbours are captions of one image.
    swapped, _ = write(decoder, inputs, exact_ND.roll(len(texts) // 2, dims=0), shift=False)
    zeroed, _ = write(decoder, inputs, torch.zeros_like(exact_ND), shift=False)
    metrics["round_trip/swapped_cosine"] = _cosine(swapped, exact_ND, inputs)
    metrics["round_trip/zeroed_cosine"] = _cosine(zeroed, exact_ND, inputs)
    return metrics


def write(
    decoder: YDecoder,
    inputs: DecoderInputs,
    embeddings_ND: Tensor,
    *,
    entities: Entities | None = None,
    num_beams: int | None = None,
    shift: bool = True,
) -> tuple[list[str], list[bool]]:
    """Texts for embeddings, and whether each ended before the limit."""
    texts: list[str] = []
    ended: list[bool] = []
    for start in range(0, len(embeddings_ND), BATCH):
        inputs.encoder.pause()
        device, places = decoder.prefix.weight.device, range(start, min(start + BATCH, len(embeddings_ND)))
        told = None if entities is None else entities.choose(places).to(device)
        ids = decoder.generate(embeddings_ND[places].to(device), entities=told, num_beams=num_beams, shift=shift)
        texts += inputs.tokenizer.decode(ids, told)
        ended += inputs.tokenizer.ended(ids)
    return texts, ended


def _caption_metrics(task: ImageTask, texts: Sequence[str]) -> dict[str, float]:
    scores = CiderD(task.texts).scores(texts)
    return {
        f"{task.name}/cider": float(scores.mean()),
        f"{task.name}/distinct": distinct_share(texts),
        f"{task.name}/length": mean_length(texts),
    }


def _cosine(texts: Sequence[str], wanted_ND: Tensor, inputs: DecoderInputs) -> float:
    """Mean cosine of texts' embeddings and `wanted_ND`; new texts are not in the cache of features."""
    model, processor = inputs.encoder.model, inputs.encoder.processor
    rows = []
    for start in range(0, len(texts), BATCH):
        tokens = processor.targets([text or " " for text in texts[start : start + BATCH]]).to(model.log_scale.device)
        with torch.no_grad():
            rows.append(model.encode_text(tokens).cpu())
    return float((torch.cat(rows) * wanted_ND).sum(-1).mean())


def _equal(texts: Sequence[str], wanted: Sequence[str]) -> float:
    same = [normalise_text(one) == normalise_text(two) for one, two in zip(texts, wanted, strict=True)]
    return sum(same) / max(1, len(same))
