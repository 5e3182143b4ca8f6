"""Does the right one score higher? Text triplets, image and caption pairs, Winoground, clips to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track

from eval.core.console import CONSOLE
from eval.core.embedding import FileEmbedder, Rows, readable, visual
from eval.core.result import Context, Result
from eval.core.statistics import interval, paired_bootstrap
from vljepa.backends import part_folder
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.metrics import by_category, pair_hits, top_k_hits, triplet_hits, winoground
from vljepa.models.y_encoder import YEncoder

UNTOUCHED = "untouched Y-Encoder"
TRIPLET = ("caption", "caption2", "negative_caption")


def triplets(context: Context) -> Result:
    """Text triplets by the Y-Encoder, after training and as it was before: SugarCrepe++ and data of its kind.

    Every role of the suite's files is a category, a JSON list of `caption`, `caption2` and `negative_caption`.
    """
    found, embedder = context.found, context.embedder
    texts: list[tuple[str, ...]] = []
    categories: list[str] = []
    for role in found.files:
        rows = found.listed(role)
        texts += [tuple(map(row.text, TRIPLET)) for row in rows]
        categories += [role] * len(rows)
    keys = [str(number) for number in range(len(texts))]
    encoded = both_encoders(embedder, [text for row in texts for text in row])
    hits = {name: triplet_hits(one[0::3], one[1::3], one[2::3]) for name, one in encoded.items()}
    difference = dict(zip(keys, hits["model"].astype(float) - hits[UNTOUCHED].astype(float), strict=True))
    y_encoder = embedder.model.config.y_encoder
    metrics: dict[str, dict[str, Any]] = {
        name: {**by_category(one, categories), "rows": interval(one, keys)} for name, one in hits.items()
    }
    return Result(
        metrics=metrics | {"model minus untouched": {"rows": paired_bootstrap([difference])}},
        rows=len(texts),
        pool=[{"triplets": len(texts)}],
        chance={"model": {"rows": 1 / 3}},
        prompt=y_encoder.prefix,
        frames=0,
        examined=[Record(None, row) for row in texts],
        more={"y_encoder": {"part": str(y_encoder.part), "head": y_encoder.head}},
    )


@torch.inference_mode()
def both_encoders(embedder: Embedder, texts: Sequence[str]) -> dict[str, Rows]:
    """Embeddings of texts by the model, and by the Y-Encoder as its part's own files have it, without our head.

    Where training left the encoder's weights alone, its features are computed once.
    """
    config = embedder.model.config
    before = YEncoder(config.y_encoder, embed_dim=config.embed_dim).eval().to(embedder.device)
    if config.y_encoder.part.source != "random":
        before.backbone.load_pretrained(part_folder(config.y_encoder.part))
    after = embedder.model.y_encoder.backbone.state_dict()
    same = all(
        name in after and torch.equal(tensor, after[name]) for name, tensor in before.backbone.state_dict().items()
    )
    features: dict[str, torch.Tensor] = {}
    # Texts of one length side by side: less padding, the same numbers.
    different = sorted(dict.fromkeys(texts), key=len)
    for start in track(range(0, len(different), 64), "reading", console=CONSOLE, transient=True):
        batch = different[start : start + 64]
        targets = embedder.processor.targets(batch).to(embedder.device)
        features |= dict(zip(batch, before.features(targets.ids_BL, targets.mask_BL), strict=True))
    features_NE = torch.stack([features[text] for text in texts])
    if same:
        model_ND = embedder.model.project_text(features_NE).cpu().numpy()
    else:
        own = dict(zip(different, embedder.texts(different), strict=True))
        model_ND = np.stack([own[text] for text in texts])
    return {"model": model_ND, UNTOUCHED: F.normalize(features_NE.float(), dim=-1).cpu().numpy()}


def pairs(context: Context) -> Result:
    """Image and two captions, as in SugarCrepe: every role is a category, an object of numbered rows."""
    found, embedder = context.found, context.embedder
    rows = [row for role in found.files for row in found.listed(role, dict)]
    seen = [row.file("filename") for row in rows]
    texts = [(row.text("caption"), row.text("negative_caption")) for row in rows]
    files = FileEmbedder(embedder)
    rows_ND = files.embed(seen)
    kept = np.flatnonzero(readable(rows_ND))
    right_ND, wrong_ND = (embedder.texts([texts[place][side] for place in kept]) for side in (0, 1))
    hits = pair_hits(rows_ND[kept], right_ND, wrong_ND)
    figures: dict[str, Any] = by_category(hits, [rows[place].role for place in kept])
    return Result(
        metrics={"model": figures | {"rows": interval(hits, [str(seen[place]) for place in kept])}},
        chance={"model": {"rows": 0.5}},
        rows=len(texts),
        pool=[{"images": len(set(seen)), "pairs": len(kept)}],
        skipped=files.report(),
        examined=[Record(path, both) for path, both in zip(seen, texts, strict=True)],
    )


def two_by_two(context: Context, *, name: str = "{}.png") -> Result:
    """Winoground: `image_0`, `image_1`, `caption_0`, `caption_1` in JSON Lines."""
    found, embedder = context.found, context.embedder
    rows, sides = list(found.rows("rows")), "01"
    seen = [row.file(f"image_{side}", name=name) for row in rows for side in sides]
    texts = [row.text(f"caption_{side}") for row in rows for side in sides]
    files = FileEmbedder(embedder)
    images_N2D = files.embed(seen).reshape(len(seen) // 2, 2, -1)
    kept_N = readable(images_N2D.reshape(len(images_N2D), -1))
    captions_N2D = embedder.texts(texts).reshape(images_N2D.shape)
    each = [winoground(images_N2D[[n]], captions_N2D[[n]]) for n in np.flatnonzero(kept_N)]
    keys = [str(number) for number in range(len(each))]
    return Result(
        metrics={"model": {part: interval([one[part] for one in each], keys) for part in ("text", "image", "group")}},
        chance={"model": {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}},
        rows=len(images_N2D),
        pool=[{"items": len(each)}],
        skipped=files.report(),
        examined=[Record(path, (text,)) for path, text in zip(seen, texts, strict=True)],
    )


def clips(context: Context, *, frames: int = 8) -> Result:
    """WorldPrediction: the clip that leads from a first image to a last one, among candidates.

    The state is the predicted embedding of the two images as a clip of two frames. Rows have `initial`, `final`,
    `candidates` (files) and `answer` (number of the right one, from 0).
    """
    found, embedder = context.found, context.embedder
    states: list[tuple[Path, Path]] = []
    candidates: list[list[Path]] = []
    answers: list[int] = []
    for row in found.rows("rows"):
        states.append((row.file("initial"), row.file("final")))
        candidates.append([found.file_name(one) for one in row["candidates"]])
        answers.append(int(row["answer"]))
        if not 0 <= answers[-1] < len(candidates[-1]):
            raise row.wrong(f"has answer {answers[-1]} of {len(candidates[-1])} candidates")
    images, videos = FileEmbedder(embedder), FileEmbedder(embedder, frames=frames)
    states_ND = images.embed(states)
    flat = list(dict.fromkeys(one for several in candidates for one in several))
    clip_of = dict(zip(flat, videos.embed(flat), strict=True))
    scores_NC = np.full((len(states), max(map(len, candidates))), -np.inf)
    kept_N = readable(states_ND)
    for number, several in enumerate(candidates):
        scores = np.stack([clip_of[one] for one in several]) @ states_ND[number]
        scores_NC[number, : len(several)] = scores
        kept_N[number] &= not np.isnan(scores).any()
    hits = top_k_hits(scores_NC[kept_N], np.array(answers)[kept_N])
    images.unreadable |= videos.unreadable
    return Result(
        metrics={"model": {"accuracy": interval(hits, [str(number) for number in np.flatnonzero(kept_N)])}},
        chance={"model": {"accuracy": float(np.mean([1 / len(several) for several in candidates]))}},
        rows=len(states),
        pool=[{"items": int(kept_N.sum()), "clips": len(flat)}],
        candidates={"own_list_per_row_of": sorted({len(several) for several in candidates})},
        frames=frames,
        skipped=images.report(),
        examined=[Record(one, ()) for state in states for one in state]
        + [Record(visual(one, frames=frames), ()) for one in flat],
    )
