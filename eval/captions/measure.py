"""Runs the comparison: every decoder and the bank on the same predictions and the same held-out texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.mini import provenance
from eval.mini.bootstrap import paired_bootstrap
from eval.mini.data import read_captions, read_questions
from vljepa.configs import load_decoder_run_config
from vljepa.data.features import TextFeatures
from vljepa.data.records import Record
from vljepa.inference.bank import Bank
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length, rouge_l
from vljepa.metrics.round_trip import round_trip
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


def measure(
    *,
    data: Path,
    model: str,
    recipe: Path,
    decoders: dict[str, str],
    split: str,
    cache: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The whole result.

    Args:
        data: Prepared folder.
        model: Model whose embeddings are read.
        recipe: Of the decoders; it says which texts are held out and which make the bank.
        decoders: Name to folder.
        split: Of the pictures.
        cache: Feature cache of the frozen text encoder; that of a training can be used.
        say: Takes progress lines.
    """
    run = load_decoder_run_config(recipe, [f"data.root={data}"])
    train, held_out, _ = read_texts(run.data)
    embedder = Embedder.from_pretrained(model)
    say("embedding the bank")
    captions = [
        text
        for source, rows in zip(run.data.train, train, strict=True)
        if source.see == "text"
        for row in rows
        for text in row.texts
    ]
    bank = _bank(embedder, list(dict.fromkeys(captions)), cache=cache)
    result: dict[str, Any] = {
        "task": "captions from predicted embeddings, and texts through the embedding and back",
        "split": split,
        **provenance.origin("eval.captions"),
        "data": provenance.data_of(data),
        "packages": provenance.packages(),
        "model": provenance.model_of(model),
        "protocol": PROTOCOL,
        "pictures": {},
        "answers": {},
        "round_trip": {},
        "latency_ms": {},
    }
    pictures = {}
    for source in SOURCES:
        items = [one for one in read_captions(data, source, split) if source != "emoji" or one.style == STYLE]
        say(f"{source}: {len(items)} pictures")
        pictures[source] = (embedder.images([item.path for item in items]), [item.texts for item in items])
        rows, texts = pictures[source]
        scorer = CiderD(texts)
        table = {
            NEAREST: _row(bank.nearest(rows), texts, scorer),
            CONSENSUS: _row(bank.consensus(rows), texts, scorer),
        }
        result["pictures"][source] = {"pool": len(items), "bank": len(bank.texts), "rows": table}
    for name, folder in decoders.items():
        say(f"decoder {name}")
        own = Embedder.from_pretrained(model, decoder=folder)
        for source, (rows, texts) in pictures.items():
            _decoder_rows(name, own, rows, texts, result["pictures"][source]["rows"])
        rows, texts = pictures["photos"]
        result["pictures"]["photos"]["rows"] |= _human(name, own, texts)
        result["round_trip"][name] = round_trips(own, held_out[:ROUND_TRIPS])
        result["latency_ms"][name] = _latency(own, rows)
        result["answers"][name] = {
            source: _answers(own, read_questions(data, source, split)) for source in QUESTION_SOURCES
        }
    for source in SOURCES:
        _compare(result["pictures"][source]["rows"], list(decoders))
    return result


def _bank(embedder: Embedder, texts: list[str], *, cache: Path) -> Bank:
    features = TextFeatures(cache, config=embedder.model.config.y_encoder)
    features.fill(texts, model=embedder.model, processor=embedder.processor)
    with torch.inference_mode():
        return Bank(texts, embedder.model.project_text(features.read(texts)).numpy())


def _row(said: Sequence[str], texts: Sequence[Sequence[str]], scorer: CiderD) -> dict[str, Any]:
    scores = scorer.scores(said)
    return {
        "cider": float(scores.mean()),
        "bleu4": bleu4(said, texts),
        "rouge_l": rouge_l(said, texts),
        "distinct": distinct_share(said),
        "length": mean_length(said),
        "scores": scores.round(6).tolist(),
        "said": list(said),
    }


def _decoder_rows(name: str, own: Embedder, rows: Rows, texts: Sequence[Sequence[str]], table: dict[str, Any]) -> None:
    scorer, words = CiderD(texts), own.processor.words
    assert words is not None
    ids = own.model.generate(torch.from_numpy(rows).to(own.device))
    table[name] = {**_row(words.decode(ids), texts, scorer), "ended": float(np.mean(words.ended(ids)))}
    for suffix, seen in ((", swapped", np.roll(rows, 1, axis=0)), (", zeroed", np.zeros_like(rows))):
        table[f"{name}{suffix}"] = _row(own.words(seen), texts, scorer)


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
        [said] = own.words(row, shift=False)
        nearest = question.candidates[int((own.texts(question.candidates) @ row[0]).argmax())]
        right = normalise_text(question.texts[0])
        hit = (normalise_text(said) == right, normalise_text(nearest) == right)
        hits["all"].append(hit)
        hits.setdefault(question.type, []).append(hit)
    return {
        kind: {
            "questions": len(some),
            "words": float(np.mean(some, axis=0)[0]),
            "choices": float(np.mean(some, axis=0)[1]),
        }
        for kind, some in sorted(hits.items())
    }


def round_trips(own: Embedder, texts: list[str]) -> dict[str, Any]:
    """Texts through their embeddings and back; with another text's embedding and with none, as controls."""
    exact = own.texts(texts)
    seen = {"exact": exact, "swapped": np.roll(exact, len(texts) // 2, axis=0), "zeroed": np.zeros_like(exact)}
    back = {kind: own.words(rows, shift=False) for kind, rows in seen.items()}
    rows = {kind: own.texts([text or " " for text in said]) for kind, said in back.items()}
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


def _compare(table: dict[str, Any], decoders: Sequence[str]) -> None:
    against = table[CONSENSUS]["scores"]
    for name in decoders:
        differences = {
            str(item): one - two for item, (one, two) in enumerate(zip(table[name]["scores"], against, strict=True))
        }
        table[name]["minus_consensus"] = paired_bootstrap([differences])
