"""How good the words are: captions of held-out images, open answers, texts through the embedding and back, latency.

Every decoder and the bank of training captions are on the same predictions and the same held-out texts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.core import provenance
from eval.core.console import log
from eval.core.prepared import read_captions, read_questions
from eval.core.provenance import ROOT
from eval.core.result import Context, Result
from eval.core.statistics import paired_bootstrap
from vljepa.configs import load_decoder_run_config
from vljepa.data.records import Record
from vljepa.data.text_features import TextFeatures
from vljepa.errors import CheckpointError, DataError
from vljepa.inference.bank import Bank
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length, rouge_l
from vljepa.metrics.round_trip import round_trip
from vljepa.parts.saved import decoder_folder, saved_folder
from vljepa.processing.text import normalise_text
from vljepa.training.decoder_inputs import read_texts

NEAREST, CONSENSUS = "bank, nearest", "bank, consensus of 50"
SOURCES = ("photos", "emoji")
QUESTION_SOURCES = ("easy_vqa", "emoji", "photos")
ROUND_TRIPS = 256
QUESTIONS = 300
STYLE = "fluent"
LATENCIES = 30
PROTOCOL = {
    "photos": "one caption per picture against its 5 captions; CIDEr-D weights from these references",
    "emoji": f"one caption per concept, style {STYLE}, against the texts of the concept",
    "bank": "the decoders' training captions; readouts see the same predicted embeddings",
    "human": "a person's caption against the other four, and the same person's caption read from its own embedding",
    "bootstrap": "10000 resamples of pictures, percentiles, 95%; the decoder minus the consensus of 50",
    "round trip": f"first {ROUND_TRIPS} held-out texts of the recipe: cosine of the text that came back, BLEU-4, exact",
    "answers": f"about {QUESTIONS} questions of each source, every n-th, by type; exact match after "
    "normalisation, of the words and, for comparison, of the nearest of the question's choices",
    "controls": "swapped: another picture's embedding, or text's; zeroed: the zero embedding",
    "latency": f"one caption from its embedding, median of {LATENCIES}, batch 1, all cores",
}


def own_decoder(model: str) -> dict[str, str]:
    """The folder of a model's own decoder, by the name of the part that it was made from.

    Raises:
        CheckpointError: It has none.
    """
    import json

    folder = decoder_folder(saved_folder(model))
    if folder is None:
        raise CheckpointError(f"{model!r} has no Y-Decoder.", fix="train one with `vljepa train-decoder`.")
    return {json.loads((folder / "config.json").read_text(encoding="utf-8"))["part"]["name"]: str(folder)}


def measure(context: Context, *, recipe: str, decoders: dict[str, str] | None = None, split: str = "test") -> Result:
    """Captions, open answers, round trips and latency.

    Args:
        context: The prepared folder; the cache of a training can be used.
        recipe: Of the decoders; it says which texts are held out and which make the bank.
        decoders: Name to folder; the model's own when absent.
        split: Of the images.
    """
    data, embedder = context.found.folder, context.embedder
    run = load_decoder_run_config(ROOT / recipe, [f"data.root={data}"])
    train, held_out, _ = read_texts(run.data)
    captions = [
        text
        for source, rows in zip(run.data.train, train, strict=True)
        if source.see == "text"
        for row in rows
        for text in row.texts
    ]
    log("embedding the bank")
    bank = _bank(embedder, list(dict.fromkeys(captions)), cache=context.cache / "mini")
    pictures, tables = {}, {}
    for source in SOURCES:
        items = [one for one in read_captions(data, source, split) if source != "emoji" or one.style == STYLE]
        rows, texts = embedder.images([item.path for item in items]), [item.texts for item in items]
        pictures[source], scorer = (rows, texts), CiderD(texts)
        readouts = {NEAREST: bank.nearest(rows), CONSENSUS: bank.consensus(rows)}
        tables[source] = {name: _row(written, texts, scorer) for name, written in readouts.items()}
    found: dict[str, Any] = {"answers": {}, "round_trip": {}, "latency_ms": {}}
    for name, folder in (decoders or own_decoder(context.model.name)).items():
        log(f"decoder {name}")
        own = Embedder.from_pretrained(context.model.name, decoder=folder)
        for source, (rows, texts) in pictures.items():
            _decoder_rows(name, own, rows, texts, tables[source])
        rows, texts = pictures["photos"]
        tables["photos"] |= _human(name, own, texts)
        found["round_trip"][name] = round_trips(own, held_out[:ROUND_TRIPS])
        found["latency_ms"][name] = _latency(own, rows)
        found["answers"][name] = {
            source: _answers(own, read_questions(data, source, split)) for source in QUESTION_SOURCES
        }
    sizes = {source: len(texts) for source, (_, texts) in pictures.items()}
    return Result(
        rows=sum(sizes.values()),
        pool=[sizes],
        prompt=embedder.model.config.prompts.caption,
        more={
            "data": provenance.data_of(data),
            "packages": provenance.packages(),
            "protocol": PROTOCOL,
            "pictures": {
                source: {"pool": sizes[source], "bank": len(bank.texts), "rows": rows}
                for source, rows in tables.items()
            },
            **found,
        },
    )


def _bank(embedder: Embedder, texts: list[str], *, cache: Path) -> Bank:
    features = TextFeatures(cache, config=embedder.model.config.y_encoder)
    features.fill(texts, model=embedder.model, processor=embedder.processor)
    with torch.inference_mode():
        return Bank(texts, embedder.model.project_text(features.read(texts)).numpy())


def _row(written: Sequence[str], texts: Sequence[Sequence[str]], scorer: CiderD) -> dict[str, Any]:
    scores = scorer.scores(written)
    return {
        "cider": float(scores.mean()),
        "bleu4": bleu4(written, texts),
        "rouge_l": rouge_l(written, texts),
        "distinct": distinct_share(written),
        "length": mean_length(written),
        "scores": scores.round(6).tolist(),
        "said": list(written),
    }


def _decoder_rows(
    name: str, own: Embedder, rows: Rows, texts: Sequence[Sequence[str]], rows_of: dict[str, Any]
) -> None:
    """A decoder, its controls, and its difference to the consensus of the bank."""
    scorer, words = CiderD(texts), own.processor.words
    assert words is not None
    ids = own.model.generate(torch.from_numpy(rows).to(own.device))
    rows_of[name] = {**_row(words.decode(ids), texts, scorer), "ended": float(np.mean(words.ended(ids)))}
    for suffix, seen in ((", swapped", np.roll(rows, 1, axis=0)), (", zeroed", np.zeros_like(rows))):
        rows_of[f"{name}{suffix}"] = _row(own.words(seen), texts, scorer)
    pairs = zip(rows_of[name]["scores"], rows_of[CONSENSUS]["scores"], strict=True)
    rows_of[name]["minus_consensus"] = paired_bootstrap([{str(n): one - two for n, (one, two) in enumerate(pairs)}])


def _human(name: str, own: Embedder, texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    first, others = [one[0] for one in texts], [one[1:] for one in texts]
    scorer = CiderD(others)
    return {
        "human, against the other four": _row(first, others, scorer),
        f"{name}, from a human caption's embedding": _row(own.words(own.texts(first), shift=False), others, scorer),
    }


def _answers(own: Embedder, questions: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Per type of question and for all: how many, and the shares answered with the very words and the right choice."""
    hits: dict[str, list[tuple[bool, bool]]] = {"all": []}
    for question in questions[:: max(1, len(questions) // QUESTIONS)]:
        assert question.image is not None
        row = own.images([question.image], query=question.query)
        [written] = own.words(row, shift=False)
        nearest = question.candidates[int((own.texts(question.candidates) @ row[0]).argmax())]
        right = normalise_text(question.texts[0])
        hit = (normalise_text(written) == right, normalise_text(nearest) == right)
        hits["all"].append(hit)
        hits.setdefault(question.type, []).append(hit)
    return {
        kind: {
            "questions": len(both),
            "words": float(np.mean(both, axis=0)[0]),
            "choices": float(np.mean(both, axis=0)[1]),
        }
        for kind, both in sorted(hits.items())
    }


def round_trips(own: Embedder, texts: list[str]) -> dict[str, Any]:
    """Texts through their embeddings and back; with another text's embedding and with none, as controls."""
    exact = own.texts(texts)
    seen = {"exact": exact, "swapped": np.roll(exact, len(texts) // 2, axis=0), "zeroed": np.zeros_like(exact)}
    back = {kind: own.words(rows, shift=False) for kind, rows in seen.items()}
    rows = {kind: own.texts([text or " " for text in written]) for kind, written in back.items()}
    figures = round_trip(texts, back["exact"], text_ND=exact, said_ND=rows["exact"])
    return {
        "texts": len(texts),
        "cosine": figures["cosine"],
        "cosine_swapped": float((rows["swapped"] * exact).sum(1).mean()),
        "cosine_zeroed": float((rows["zeroed"] * exact).sum(1).mean()),
        "above_others": figures["above_others"],
        "bleu4": figures["bleu4"],
        "exact_match": figures["exact"],
        "examples": [list(pair) for pair in zip(texts[:8], back["exact"][:8], strict=True)],
    }


def measure_round_trip(context: Context, *, text: str = "text", limit: int = 256) -> Result:
    """Cosine, BLEU-4 and exact matches of texts that went through their embeddings.

    Args:
        context: The files; `rows` is a text file or a table, or the stored predictions' captions.
        text: Column of the texts.
        limit: Take the first so many different ones.
    """
    found, embedder = context.found, context.embedder
    embedder.require_words()
    texts: list[str] = []
    if found.files["rows"].suffix == ".json":
        texts = [one for photo in found.json("rows")["photos"] for one in photo["captions"]]
    else:
        for number, row in found.table("rows"):
            given = found.value(row, text, "rows", number)
            texts += [given.strip()] if isinstance(given, str) else given
    texts = list(dict.fromkeys(texts))[:limit]
    if len(texts) < 2:
        raise DataError(f"{found.files['rows']} has {len(texts)} text(s).", fix="give at least two.")
    figures = round_trips(embedder, texts)
    examples = figures.pop("examples")
    return Result(
        metrics={"model": figures},
        rows=len(texts),
        pool=[{"texts": len(texts)}],
        prompt=embedder.model.config.y_encoder.prefix,
        frames=0,
        examined=[Record(None, tuple(texts))],
        more={"examples": examples},
    )


def _latency(own: Embedder, rows: Rows) -> dict[str, float]:
    """Median milliseconds of one caption with the chosen beams, and greedy."""
    medians = {}
    for kind, beams in (("chosen", None), ("greedy", 1)):
        times = []
        for number in range(LATENCIES + 3):
            start = time.perf_counter()
            own.words(rows[number % len(rows)][None], num_beams=beams)
            times.append(1000 * (time.perf_counter() - start))
        medians[kind] = float(np.median(times[3:]))
    return medians
