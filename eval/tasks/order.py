"""Questions about the order of a clip's frames, asked again with the frames shuffled, run backwards, and of one frame.

A question about order whose answer the frames give away without their order would be no such question. The clips of
recipes/mini/clips.py are as likely as themselves run backwards, where the answer is the opposite one; so what is right
about shuffled frames, or about one of them, is right by chance.

Shapes: N questions, T frames, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.command import say
from eval.harness.seeing import QUERIES, clip_frames, visual
from eval.harness.suite import Found
from eval.mini.bootstrap import Interval, interval
from eval.mini.question_only import QuestionOnly
from eval.tasks.questions import Said, answer
from eval.tasks.questions_files import Question, closed
from vljepa.configs import ClipView, SourceConfig
from vljepa.data.records import Record
from vljepa.data.sources import load_source
from vljepa.inference.embed import Embedder
from vljepa.models.outputs import VisionTokens
from vljepa.processing.video import even_shares, read_clip

Answers = Sequence[Question]
Orders = Callable[[np.random.Generator], list[int]]
GROUPS = {
    "direction": ("direction",),
    "order": ("first side", "begins", "first kind"),
    "order, by name": ("first name",),
    "vanishing": ("vanished side",),
    "vanishing, by name": ("vanished name",),
    "growing and shrinking": ("change",),
    "how many": ("at the start", "at the end"),
    "what is it": ("what",),
    "what kind is it": ("kind",),
}
"""Rows of the table, by types of questions; fixed before the test was read."""
NAMES = ("first name", "vanished name", "what")
TIMELESS = ("how many", "what is it", "what kind is it")
"""Groups whose answers one frame may hold; the others turn round when the frames do."""
OPPOSED = "reversed, opposite answer"
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}


def measure(found: Found, embedder: Embedder, *, shuffles: int, seed: int) -> dict[str, Any]:
    """Accuracy in order and under the controls, per group and per type of question.

    Args:
        found: The files: `rows` and `train` of questions, `next` of questions about the first half of a clip.
        embedder: A model with `predictor.clips`.
        shuffles: Orders that are drawn for each clip.
        seed: Of the orders.
    """
    frames = clip_frames(embedder)
    questions = closed(found, image="video", question="query", answers="text")
    clips = Clips(embedder, sorted({one.image for one in questions}), frames=frames)
    random = np.random.default_rng(seed)
    controls: dict[str, list[Any]] = {"in order": [list(range(frames))], "reversed": [list(range(frames))[::-1]]}
    controls["shuffled"] = [[random.permutation(frames).tolist() for _ in clips.places] for _ in range(shuffles)]
    controls["one frame"] = [[frame] * frames for frame in range(frames)]
    values: dict[str, np.ndarray] = {}
    for name, orders in controls.items():
        values[name] = np.zeros(len(questions))
        for order in orders:
            said, _ = answer(questions, clips.ask(questions, order), embedder)
            values[name] += hits(questions, said) / len(orders)
            if name == "reversed":
                values[OPPOSED] = hits(turned(questions), said)
        say(f"{name}: {values[name].mean():.3f} of all questions")
    # Names of the test are in no training answer, and a thousand classes of others would take minutes to fit.
    fitted = [record for record in _records(found, "train") if record.type not in NAMES]
    alone = QuestionOnly(fitted, embed=embedder.texts)
    values["question alone"] = np.array([alone.hit(_record(one)) for one in questions])
    return {
        "metrics": by_group(questions, values),
        "anticipation": anticipation(found, embedder, frames=frames // 2),
        "rows": len(questions),
        "pool": [{"questions": len(questions), "clips": len(clips.places)}],
        "prompt": "the question, as it is",
        "frames": frames,
        "seed": seed,
        "skipped": {"count": 0, "first": {}},
        "examined": [Record(visual(one.image, frames=frames), one.answers, query=one.query) for one in questions],
    }


class Clips:
    """Clips whose frames are encoded once, and shown to the Predictor in any order.

    Args:
        embedder: The model.
        files: The clips.
        frames: Frames of each, T.
        end: Seconds at which they end; None for all of them.
    """

    def __init__(self, embedder: Embedder, files: Sequence[Path], *, frames: int, end: float | None = None) -> None:
        self.embedder, self.frames = embedder, frames
        self.places = {file: place for place, file in enumerate(files)}
        limit = embedder.processor.config.x_encoder.image.max_pixels
        seen: list[VisionTokens] = []
        for file in files:
            pixels = embedder.processor.frames(read_clip(file, shares=even_shares(frames), end=end, max_pixels=limit))
            with torch.inference_mode():
                seen.append(embedder.model.encode_vision(pixels.unsqueeze(1).to(embedder.device)))  # as pictures
        self.tokens = torch.stack([one.tokens_BND for one in seen])
        self.logits = None if seen[0].logits_BK is None else torch.stack([one.logits_BK for one in seen])  # type: ignore[misc]

    @torch.inference_mode()
    def ask(self, questions: Answers, order: Any) -> np.ndarray:
        """Predicted embeddings [N, D] with the frames in this order, [T], or in one for each clip, [clips, T].

        A frame may be there several times.
        """
        orders_CT = torch.as_tensor(order).expand(len(self.places), -1)
        model, processor, rows = self.embedder.model, self.embedder.processor, []
        for start in range(0, len(questions), QUERIES):
            some = questions[start : start + QUERIES]
            clips_N = torch.tensor([self.places[one.image] for one in some])
            device = self.tokens.device
            places = clips_N.unsqueeze(1).to(device), orders_CT[clips_N].to(device)
            tokens = self.tokens[places].flatten(1, 2)
            logits = None if self.logits is None else self.logits[places].mean(1)
            vision = VisionTokens(
                tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=device), logits, self.frames
            )
            queries = processor.queries([one.query for one in some])
            ids, mask = queries["query_ids"].to(device), queries["query_mask"].to(device)
            rows.append(model.predict(vision, ids, mask).float().cpu().numpy())
        return np.concatenate(rows)


def hits(questions: Answers, said: Said) -> np.ndarray:
    """1 where the answer is right, [N]; a tie is wrong."""
    return np.array([float(text == one.answers[0]) for one, text in zip(questions, said, strict=True)])


def turned(questions: Answers) -> list[Question]:
    """The same questions with the answers of the clips run backwards; those about no order keep theirs."""
    return [replace(one, answers=(_opposite(one),)) for one in questions]


def _opposite(question: Question) -> str:
    answer, candidates = question.answers[0], question.candidates
    if len(candidates) == 2:
        return candidates[1 - candidates.index(answer)]
    return OPPOSITE[answer] if question.type == "direction" else answer


def by_group(questions: Answers, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """The mean of each [N] of values with its interval, for every group of `GROUPS` and every type of question."""
    found: dict[str, Any] = {}
    for group, types in GROUPS.items():
        places = {kind: [n for n, one in enumerate(questions) if one.type == kind] for kind in types}
        parts = {group: [n for some in places.values() for n in some]}
        if len(types) > 1:
            parts |= {f"{group}: {kind}": some for kind, some in places.items()}
        for part, some in parts.items():
            if some:
                found[part] = {
                    name: _mean(questions, values_N, some)
                    for name, values_N in values.items()
                    if name != OPPOSED or group not in TIMELESS
                } | {"questions": len(some)}
    return found


def _mean(questions: Answers, values_N: np.ndarray, places: Sequence[int]) -> Interval:
    """Clips are resampled."""
    return interval(values_N[places], [str(questions[n].image) for n in places])


def anticipation(found: Found, embedder: Embedder, *, frames: int) -> dict[str, Any]:
    """What comes next, from the first half of a clip, among captions of one sprite at five places.

    `copy` says what there is to be seen now, as the model itself says it, and `present` as the clip was drawn: what
    moves on is then always wrong, what stays always right.
    """
    rows = [row for _, row in found.table("next")]
    asked = closed(replace(found, files=found.files | {"rows": found.files["next"]}), image="video", question="query",
                   answers="text")  # fmt: skip
    clips = Clips(embedder, sorted({one.image for one in asked}), frames=frames, end=float(rows[0]["end"]))
    now = {one.image: one for one in asked if one.type == "now"}
    later = [one for one in asked if one.type == "next"]
    order, last = list(range(frames)), [frames - 1] * frames
    present = [now[one.image].answers[0] for one in later]
    said = {
        "model": answer(later, clips.ask(later, order), embedder)[0],
        "copy": answer(
            [now[one.image] for one in later], clips.ask([now[one.image] for one in later], order), embedder
        )[0],
        "present": present,
        "last frame": answer(later, clips.ask(later, last), embedder)[0],
    }
    moving = np.array([one.answers[0] != text for one, text in zip(later, present, strict=True)])
    where = {"all": list(range(len(later))), "moving": np.flatnonzero(moving).tolist()}
    return {
        name: {part: _mean(later, hits(later, texts), some) for part, some in where.items()}
        for name, texts in said.items()
    }


def _records(found: Found, role: str) -> list[Record]:
    source = SourceConfig(name=role, path=str(found.files[role]), view=ClipView(frames=1), task="vqa")
    return load_source(source, root=found.folder)


def _record(question: Question) -> Record:
    return Record(
        question.image,
        texts=question.answers[:1],
        query=question.query,
        candidates=question.candidates,
        type=question.type,
    )
