"""Does the right one score higher? Text triplets, picture and caption pairs, Winoground, clips to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track

from eval.command import CONSOLE
from eval.harness.seeing import Eyes, readable, visual
from eval.harness.suite import Found
from eval.mini.bootstrap import interval, paired_bootstrap
from vljepa.backends import part_folder
from vljepa.data.paths import path_under
from vljepa.data.records import Record
from vljepa.inference.embed import Embedder
from vljepa.metrics import by_category, pair_hits, top_k_hits, triplet_hits, winoground
from vljepa.models.y_encoder import YEncoder

Rows = NDArray[np.float32]
UNTOUCHED = "untouched Y-Encoder"
TRIPLET = ("caption", "caption2", "negative_caption")


def triplets(found: Found, embedder: Embedder) -> dict[str, Any]:
    """Text triplets by the Y-Encoder, after training and as it was before: SugarCrepe++ and data of its kind.

    Every role of the suite's files is a category, a JSON list of `caption`, `caption2` and `negative_caption`.
    """
    texts: list[tuple[str, ...]] = []
    categories: list[str] = []
    for role in found.files:
        content = found.json(role)
        if not isinstance(content, list):
            raise found.wrong(role, "it is not a JSON list (SugarCrepe without ++ is an object)")
        for number, row in enumerate(content):
            texts.append(tuple(str(found.value(row, key, role, number)) for key in TRIPLET))
            categories.append(role)
    flat = [text for row in texts for text in row]
    keys = [str(number) for number in range(len(texts))]
    rows = both_encoders(embedder, flat)
    hits = {name: triplet_hits(some[0::3], some[1::3], some[2::3]) for name, some in rows.items()}
    difference = dict(zip(keys, hits["model"].astype(float) - hits[UNTOUCHED].astype(float), strict=True))
    return {
        "metrics": {
            name: {**by_category(some, categories), "rows": interval(some, keys)} for name, some in hits.items()
        }
        | {"model minus untouched": {"rows": paired_bootstrap([difference])}},
        "rows": len(texts),
        "pool": [{"triplets": len(texts)}],
        "chance": {"model": {"rows": 1 / 3}},
        "y_encoder": {"part": str(embedder.model.config.y_encoder.part), "head": embedder.model.config.y_encoder.head},
        "prompt": embedder.model.config.y_encoder.prefix,
        "frames": 0,
        "skipped": {"count": 0, "first": {}},
        "examined": [Record(None, row) for row in texts],
    }


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
        some = different[start : start + 64]
        targets = embedder.processor.targets(some)
        ids, mask = (targets[name].to(embedder.device) for name in ("target_ids", "target_mask"))
        features |= dict(zip(some, before.features(ids, mask), strict=True))
    features_NE = torch.stack([features[text] for text in texts])
    if same:
        model_ND = embedder.model.project_text(features_NE).cpu().numpy()
    else:
        own = dict(zip(different, embedder.texts(different), strict=True))
        model_ND = np.stack([own[text] for text in texts])
    return {"model": model_ND, UNTOUCHED: F.normalize(features_NE.float(), dim=-1).cpu().numpy()}


def pairs(found: Found, embedder: Embedder) -> dict[str, Any]:
    """Picture and two captions, as in SugarCrepe: every role is a category, an object of numbered rows."""
    seen: list[Path] = []
    texts: list[tuple[str, str]] = []
    categories: list[str] = []
    for role, file in found.files.items():
        content = found.json(role)
        if not isinstance(content, dict):
            raise found.wrong(role, "it is not a JSON object (SugarCrepe++ is a list)")
        for number, row in enumerate(content.values()):
            name = str(found.value(row, "filename", role, number))
            seen.append(path_under(found.media, name, where=str(file)))
            texts.append((str(found.value(row, "caption", role, number)),
                          str(found.value(row, "negative_caption", role, number))))  # fmt: skip
            categories.append(role)
    eyes = Eyes(embedder)
    rows_ND = eyes.look(seen)
    kept = np.flatnonzero(readable(rows_ND))
    right_ND = embedder.texts([texts[place][0] for place in kept])
    wrong_ND = embedder.texts([texts[place][1] for place in kept])
    hits = pair_hits(rows_ND[kept], right_ND, wrong_ND)
    figures: dict[str, Any] = by_category(hits, [categories[place] for place in kept])
    figures["rows"] = interval(hits, [str(seen[place]) for place in kept])
    return {
        "metrics": {"model": figures},
        "chance": {"model": {"rows": 0.5}},
        "rows": len(texts),
        "pool": [{"pictures": len(set(seen)), "pairs": len(kept)}],
        "prompt": embedder.model.config.prompts.caption,
        "frames": 1,
        "skipped": eyes.report(),
        "examined": [Record(path, some) for path, some in zip(seen, texts, strict=True)],
    }


def two_by_two(found: Found, embedder: Embedder, *, name: str = "{}.png") -> dict[str, Any]:
    """Winoground: `image_0`, `image_1`, `caption_0`, `caption_1` in JSON Lines."""
    seen: list[Path] = []
    texts: list[str] = []
    for number, row in found.table("rows"):
        for side in "01":
            file = name.replace("{}", str(found.value(row, f"image_{side}", "rows", number)))
            seen.append(path_under(found.media, file, where=str(found.files["rows"])))
            texts.append(str(found.value(row, f"caption_{side}", "rows", number)))
    eyes = Eyes(embedder)
    images_N2D = eyes.look(seen).reshape(len(seen) // 2, 2, -1)
    kept_N = readable(images_N2D.reshape(len(images_N2D), -1))
    captions_N2D = embedder.texts(texts).reshape(images_N2D.shape)
    each = [winoground(images_N2D[[n]], captions_N2D[[n]]) for n in np.flatnonzero(kept_N)]
    keys = [str(number) for number in range(len(each))]
    return {
        "metrics": {
            "model": {part: interval([one[part] for one in each], keys) for part in ("text", "image", "group")}
        },
        "chance": {"model": {"text": 1 / 4, "image": 1 / 4, "group": 1 / 6}},
        "rows": len(images_N2D),
        "pool": [{"items": len(each)}],
        "prompt": embedder.model.config.prompts.caption,
        "frames": 1,
        "skipped": eyes.report(),
        "examined": [Record(path, (text,)) for path, text in zip(seen, texts, strict=True)],
    }


def clips(found: Found, embedder: Embedder, *, frames: int = 8) -> dict[str, Any]:
    """WorldPrediction: the clip that leads from a first picture to a last one, among candidates.

    The state is the predicted embedding of the two pictures as a clip of two frames. Rows have `initial`, `final`,
    `candidates` (files) and `answer` (number of the right one, from 0).
    """
    rows = list(found.table("rows"))
    where = str(found.files["rows"])

    def place(name: object) -> Path:
        return path_under(found.media, str(name), where=where)

    states: list[tuple[Path, Path]] = []
    candidates: list[list[Path]] = []
    answers: list[int] = []
    for number, row in rows:
        first, last = (place(found.value(row, key, "rows", number)) for key in ("initial", "final"))
        states.append((first, last))
        candidates.append([place(one) for one in found.value(row, "candidates", "rows", number)])
        answers.append(int(found.value(row, "answer", "rows", number)))
        if not 0 <= answers[-1] < len(candidates[-1]):
            raise found.wrong("rows", f"row {number}: answer {answers[-1]} of {len(candidates[-1])} candidates")
    eyes, watching = Eyes(embedder), Eyes(embedder, frames=frames)
    states_ND = eyes.look(states)
    flat = list(dict.fromkeys(one for some in candidates for one in some))
    clip_of = dict(zip(flat, watching.look(flat), strict=True))
    width = max(len(some) for some in candidates)
    scores_NC = np.full((len(rows), width), -np.inf)
    kept_N = readable(states_ND)
    for number, some in enumerate(candidates):
        scores = np.stack([clip_of[one] for one in some]) @ states_ND[number]
        scores_NC[number, : len(some)] = scores
        kept_N[number] &= not np.isnan(scores).any()
    hits = top_k_hits(scores_NC[kept_N], np.array(answers)[kept_N])
    eyes.unreadable |= watching.unreadable
    return {
        "metrics": {"model": {"accuracy": interval(hits, [str(number) for number in np.flatnonzero(kept_N)])}},
        "chance": {"model": {"accuracy": float(np.mean([1 / len(some) for some in candidates]))}},
        "rows": len(rows),
        "pool": [{"items": int(kept_N.sum()), "clips": len(flat)}],
        "candidates": {"own_list_per_row_of": sorted({len(some) for some in candidates})},
        "prompt": embedder.model.config.prompts.caption,
        "frames": frames,
        "skipped": eyes.report(),
        "examined": [Record(one, ()) for state in states for one in state]
        + [Record(visual(one, frames=frames), ()) for one in flat],
    }
