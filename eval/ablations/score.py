"""What one trained model scores: retrieval on emoji and photos, closed questions, and the collapse panel.

Shapes: N pictures, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.mini.data import Captioned, read_captions, read_questions
from eval.mini.retrieval_rows import DIRECTIONS, Pool, Row, emoji_pools, measure, photo_pools
from vljepa.configs import CacheConfig
from vljepa.data.features import FeatureCache, TextFeatures
from vljepa.metrics import effective_rank, matched_minus_shuffled, top_k_hits, uniformity
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.validation.encoder import Encoder
from vljepa.validation.tasks import VqaTask

COLUMNS = ("emoji", "photos", "questions")
QUESTION_SOURCES = ("easy_vqa", "emoji", "photos")
QUESTIONS = 700
PROTOCOL = {
    "emoji": "R@1 of drawings and their names within each style, mean of both directions and of the styles",
    "photos": "R@1 of photos and their five captions each, mean of both directions",
    "questions": f"share of closed questions whose right answer is strictly nearest; {QUESTIONS} evenly spaced ones "
    "each about shapes, emoji and photos",
    "ties": "count against the model",
    "rank": "effective rank (RankMe) of the predictions of all these pictures, and of the embeddings of their texts; "
    "1 is full collapse",
    "matched": "mean cosine of predictions to their own text, minus to the others'; 0 says nothing of the picture",
    "uniformity": "log of the mean Gaussian potential of the predictions; 0 is full collapse, -4 is even",
}


@torch.no_grad()
def score(folder: Path, *, data: Path, cache: CacheConfig, split: str) -> dict[str, Any]:
    """All numbers of a saved model.

    Args:
        folder: The saved model.
        data: Prepared folder of recipes/mini/prepare.py.
        cache: Feature cache of the run's training.
        split: `test` or `validation`.

    Returns:
        `columns` (shares, by `COLUMNS`), `hits` (column -> item -> share, whose mean over the items is the column's or
        near it) and `panel`.
    """
    model, processor = VLJEPA.from_pretrained(folder).eval(), VLJEPAProcessor.from_pretrained(folder)
    pictures = FeatureCache(cache, fingerprint=model.x_encoder_fingerprint())
    captioned = {name: read_captions(data, name, split) for name in ("emoji", "photos")}
    records = []
    for source in QUESTION_SOURCES:
        rows = read_questions(data, source, split)
        records += rows[:: max(1, len(rows) // QUESTIONS)][:QUESTIONS]
    task = VqaTask("questions", records)
    items = [item for several in captioned.values() for item in several]
    wanted = [item.path for item in items] + [path for path, _ in task.pairs()]
    pictures.fill(dict.fromkeys(wanted, 1), model=model, processor=processor, max_skipped=0.0)
    texts = None
    if not model.config.y_encoder.trainable:
        texts = TextFeatures(cache.folder, config=model.config.y_encoder)
        texts.fill([*task.texts(), *(text for item in items for text in item.texts)], model=model, processor=processor)
    encoder = Encoder(model, processor, pictures=pictures, texts=texts)

    columns, hits = {}, {}
    for name, pools in (("emoji", emoji_pools(captioned["emoji"])), ("photos", photo_pools(captioned["photos"]))):
        columns[name], hits[name] = _retrieval(encoder, pools)
    right_N = top_k_hits(task.scores(encoder.predictions(task.pairs()), encoder.texts(task.texts())), task.labels_N)
    columns["questions"] = float(right_N.mean())
    hits["questions"] = {str(place): float(right) for place, right in enumerate(right_N)}
    return {"columns": columns, "hits": hits, "panel": _panel(encoder, items)}


def _retrieval(encoder: Encoder, pools: Sequence[Pool]) -> tuple[float, dict[str, float]]:
    """R@1, and its share by concept or photo; both are means of both directions."""
    prompt = encoder.model.config.prompts.caption
    row = Row("model", lambda paths: encoder.predictions([(path, prompt) for path in paths]), encoder.texts)
    metrics, hits = measure(row, pools)
    ways = [hits[f"{way}/r1"] for way in DIRECTIONS]
    shares = {key: (ways[0][key] + ways[1][key]) / 2 for key in ways[0] if key in ways[1]}
    return float(np.mean([metrics[way]["r1"] for way in DIRECTIONS])), shares


def _panel(encoder: Encoder, items: Sequence[Captioned]) -> dict[str, float]:
    """Is the space used, and do predictions belong to their own texts?"""
    prompt = encoder.model.config.prompts.caption
    predictions_ND = encoder.predictions([(item.path, prompt) for item in items])
    targets_ND = encoder.texts([item.texts[0] for item in items])
    return {
        "rank": effective_rank(predictions_ND),
        "target_rank": effective_rank(targets_ND),
        "matched": matched_minus_shuffled(predictions_ND, targets_ND),
        "uniformity": uniformity(predictions_ND),
    }
