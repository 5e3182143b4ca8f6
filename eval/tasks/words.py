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

from eval.core.console import log
from eval.core.embedding import FileEmbedder
from eval.core.prepared import read_captions, read_questions
from eval.core.provenance import ROOT
from eval.core.result import Context, Result
from eval.core.statistics import paired_bootstrap
from eval.tasks.captions import controlled, quality
from vljepa.configs import load_decoder_run_config
from vljepa.data.records import Record
from vljepa.data.text_features import TextFeatures
from vljepa.errors import CheckpointError, DataError
from vljepa.inference.bank import Bank
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics.captions import CiderD
from vljepa.metrics.round_trip import round_trip
from vljepa.parts.saved import decoder_folder, saved_folder
from vljepa.processing.text import normalise_text
from vljepa.training.decoder_texts import read_texts

NEAREST, CONSENSUS = "bank, nearest", "bank, consensus of 50"
SOURCES = ("photos", "emoji")
QUESTION_SOURCES = ("easy_vqa", "emoji", "photos")
ROUND_TRIPS = 256
QUESTIONS = 300
STYLE = "fluent"
LATENCIES = 30


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
    data, embedder, name = context.found.folder, context.embedder, context.model.name
    run = load_decoder_run_config(ROOT / recipe, [f"data.root={data}"])
    train, held_out, _ = read_texts(run.data)
    read = [rows for source, rows in zip(run.data.train, train, strict=True) if source.see == "text"]
    log("embedding the bank")
    bank = _bank(embedder, list(dict.fromkeys(text for rows in read for row in rows for text in row.texts)), context)
    images: dict[str, tuple[Rows, Rows | None, list[tuple[str, ...]]]] = {}
    tables: dict[str, dict[str, Any]] = {}
    for source in SOURCES:
        items = [one for one in read_captions(data, source, split) if source != "emoji" or one.style == STYLE]
        rows, classes = FileEmbedder(embedder).answered([(item.path, "") for item in items])
        texts = [item.texts for item in items]
        images[source], readouts = (
            (rows, classes, texts),
            {NEAREST: bank.nearest(rows), CONSENSUS: bank.consensus(rows)},
        )
        tables[source] = {readout: _row(written, texts) for readout, written in readouts.items()}
    found: dict[str, Any] = {"answers": {}, "round_trip": {}, "latency_ms": {}}
    for decoder, folder in (decoders or own_decoder(name)).items():
        log(f"decoder {decoder}")
        own = Embedder.from_pretrained(name, decoder=folder)
        for source, (rows, classes, texts) in images.items():
            _decoder_rows(decoder, own, rows, classes, texts, tables[source])
        rows, classes, texts = images["photos"]
        first, others = [one[0] for one in texts], [one[1:] for one in texts]
        written = own.words(own.texts(first), task="text")
        tables["photos"]["human, against the other four"] = _row(first, others)
        tables["photos"][f"{decoder}, from a human caption's embedding"] = _row(written, others)
        found["round_trip"][decoder] = round_trips(own, held_out[:ROUND_TRIPS])
        found["latency_ms"][decoder] = _latency(own, rows, classes)
        asked = {source: read_questions(data, source, split) for source in QUESTION_SOURCES}
        found["answers"][decoder] = {source: _answers(own, questions) for source, questions in asked.items()}
    sizes = {source: len(texts) for source, (_, _, texts) in images.items()}
    shown = {source: {"pool": sizes[source], "bank": len(bank.texts), "rows": rows} for source, rows in tables.items()}
    return Result(rows=sum(sizes.values()), pool=[sizes], more={"images": shown, **found})


def _bank(embedder: Embedder, texts: list[str], context: Context) -> Bank:
    features = TextFeatures(context.cache / "mini", config=embedder.model.config.y_encoder)
    features.fill(texts, model=embedder.model, processor=embedder.processor)
    with torch.inference_mode():
        return Bank(texts, embedder.model.project_text(features.read(texts)).numpy())


def _row(written: Sequence[str], texts: Sequence[Sequence[str]]) -> dict[str, Any]:
    scores, found = CiderD(texts).scores(written), quality(written, texts)
    details = {"length": found.pop("tokens"), "scores": scores.round(6).tolist(), "captions": list(written)}
    return {"cider": float(scores.mean())} | found | details


def _decoder_rows(
    name: str,
    own: Embedder,
    rows: Rows,
    classes: Rows | None,
    texts: Sequence[Sequence[str]],
    table: dict[str, dict[str, Any]],
) -> None:
    """A decoder, its controls, and its difference to the consensus of the bank."""
    for kind, written in controlled(own, rows, classes).items():
        table[name if kind == "model" else f"{name}, {kind}"] = _row([one.text for one in written], texts)
    pairs = zip(table[name]["scores"], table[CONSENSUS]["scores"], strict=True)
    table[name]["minus_consensus"] = paired_bootstrap([{str(n): one - two for n, (one, two) in enumerate(pairs)}])


def _answers(own: Embedder, questions: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Per type of question and for all: how many, and the shares answered with the very words and the right choice."""
    hits: dict[str, list[tuple[bool, bool]]] = {"all": []}
    for question in questions[:: max(1, len(questions) // QUESTIONS)]:
        assert isinstance(question.image, Path)
        row, classes = own.answered([own.read(question.image)], [(0, question.query)])
        [answer] = own.write(row, classes, task="answer")
        nearest = question.candidates[int((own.texts(question.candidates) @ row[0]).argmax())]
        right = normalise_text(question.texts[0])
        hit = (normalise_text(answer.text) == right, normalise_text(nearest) == right)
        hits["all"].append(hit)
        hits.setdefault(question.type, []).append(hit)
    shares = {kind: (len(both), *np.mean(both, axis=0).tolist()) for kind, both in sorted(hits.items())}
    return {kind: dict(zip(("questions", "words", "choices"), one, strict=True)) for kind, one in shares.items()}


def round_trips(own: Embedder, texts: list[str]) -> dict[str, Any]:
    """Texts through their embeddings and back; with another text's embedding and with none, as controls."""
    exact = own.texts(texts)
    seen = {"exact": exact, "swapped": np.roll(exact, len(texts) // 2, axis=0), "zeroed": np.zeros_like(exact)}
    back = {kind: own.words(rows, task="text") for kind, rows in seen.items()}
    rows = {kind: own.texts([text or " " for text in written]) for kind, written in back.items()}
    figures = round_trip(texts, back["exact"], text_ND=exact, decoded_ND=rows["exact"])
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
    if found.files["rows"].suffix == ".json":
        texts = [one for photo in found.json("rows")["photos"] for one in photo["captions"]]
    else:
        texts = [one.strip() for row in found.rows("rows") for one in row.texts(text)]
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


def _latency(own: Embedder, rows: Rows, classes: Rows | None) -> dict[str, float]:
    """Median milliseconds of one caption with the chosen beams, and greedy."""
    medians = {}
    for kind, beams in (("chosen", None), ("greedy", 1)):
        times = []
        for number in range(LATENCIES + 3):
            start = time.perf_counter()
            place = [number % len(rows)]
            own.write(rows[place], None if classes is None else classes[place], num_beams=beams)
            times.append(1000 * (time.perf_counter() - start))
        medians[kind] = float(np.median(times[3:]))
    return medians
