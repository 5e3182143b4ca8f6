"""Questions about the order of a clip's frames, asked again with the frames shuffled, run backwards, and of one frame.

A question about order whose answer the frames give away without their order would be no such question. The clips of
recipes/mini/clips.py are as likely as themselves run backwards, where the answer is the opposite one; so what is right
about shuffled frames, or about one of them, is right by chance.

Shapes: N questions, T frames, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.console import log
from eval.core.embedding import EncodedFrames, clip_frames, visual
from eval.core.render import cell
from eval.core.result import Context, Result
from eval.core.statistics import Interval, interval
from eval.tasks.question_only import QuestionOnly
from eval.tasks.questions import Chosen, answer
from eval.tasks.questions_files import Question, closed
from vljepa.configs import ClipView, SourceConfig
from vljepa.data.records import Record
from vljepa.data.sources import load_source

Answers = Sequence[Question]
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


def measure(context: Context, *, shuffles: int, seed: int) -> Result:
    """Accuracy in order and under the controls, per group and per type of question.

    Args:
        context: The files: `rows` and `train` of questions, `next` of questions about the first half of a clip; a
            model with `predictor.clips`.
        shuffles: Orders that are drawn for each clip.
        seed: Of the orders.
    """
    found, embedder = context.found, context.embedder
    frames = clip_frames(embedder)
    questions = closed(found, image="video", question="query", answers="text")
    clips = EncodedFrames(embedder, files_of(questions), frames=frames)
    random = np.random.default_rng(seed)
    controls: dict[str, list[Any]] = {"in order": [list(range(frames))], "reversed": [list(range(frames))[::-1]]}
    controls["shuffled"] = [[random.permutation(frames).tolist() for _ in clips.places] for _ in range(shuffles)]
    controls["one frame"] = [[frame] * frames for frame in range(frames)]
    values: dict[str, np.ndarray] = {}
    for name, orders in controls.items():
        values[name] = np.zeros(len(questions))
        for order in orders:
            chosen, _ = answer(questions, clips.ask(questions, order), embedder)
            values[name] += hits(questions, chosen) / len(orders)
            if name == "reversed":
                values[OPPOSED] = hits(turned(questions), chosen)
        log(f"{name}: {values[name].mean():.3f} of all questions")
    # Names of the test are in no training answer, and a thousand classes of others would take minutes to fit.
    source = SourceConfig(
        name="train", path=str(found.files["train"]), task="vqa", view=ClipView(name="clip", frames=1)
    )
    fitted = [record for record in load_source(source, root=found.folder) if record.type not in NAMES]
    alone = QuestionOnly(fitted, embed=embedder.texts)
    asked = [Record(one.image, one.answers, query=one.query, candidates=one.candidates) for one in questions]
    values["question alone"] = np.array([alone.hit(one) for one in asked])
    return Result(
        metrics=by_group(questions, values),
        rows=len(questions),
        pool=[{"questions": len(questions), "clips": len(clips.places)}],
        prompt="the question, as it is",
        frames=frames,
        seed=seed,
        examined=[replace(one, image=visual(Path(str(one.image)), frames=frames)) for one in asked],
        more={"anticipation": anticipation(context, frames=frames // 2)},
    )


def files_of(questions: Answers) -> list[Path]:
    """The clips."""
    return sorted({one.image for one in questions if isinstance(one.image, Path)})


def hits(questions: Answers, chosen: Chosen) -> np.ndarray:
    """1 where the answer is right, [N]; a tie is wrong."""
    return np.array([float(text == one.answers[0]) for one, text in zip(questions, chosen, strict=True)])


def turned(questions: Answers) -> list[Question]:
    """The same questions with the answers of the clips run backwards; those about no order keep theirs."""
    return [one._replace(answers=(_opposite(one),)) for one in questions]


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
        parts = {group: [n for subset in places.values() for n in subset]}
        if len(types) > 1:
            parts |= {f"{group}: {kind}": subset for kind, subset in places.items()}
        for part, subset in parts.items():
            if subset:
                found[part] = {
                    name: _mean(questions, values_N, subset)
                    for name, values_N in values.items()
                    if name != OPPOSED or group not in TIMELESS
                } | {"questions": len(subset)}
    return found


def _mean(questions: Answers, values_N: np.ndarray, places: Sequence[int]) -> Interval:
    """Clips are resampled."""
    return interval(values_N[places], [str(questions[n].image) for n in places])


def anticipation(context: Context, *, frames: int) -> dict[str, Any]:
    """What comes next, from the first half of a clip, among captions of one sprite at five places.

    `copy` says what there is to be seen now, as the model itself says it, and `present` as the clip was drawn: what
    moves on is then always wrong, what stays always right.
    """
    found, embedder = context.found, context.embedder
    asked = closed(found, image="video", question="query", answers="text", role="next")
    end = float(next(found.rows("next"))["end"])
    clips = EncodedFrames(embedder, files_of(asked), frames=frames, end=end)
    now = {one.image: one for one in asked if one.type == "now"}
    later = [one for one in asked if one.type == "next"]
    current = [now[one.image] for one in later]
    present = [one.answers[0] for one in current]
    order, last = range(frames), [frames - 1] * frames
    asks = {"model": (later, order), "copy": (current, order), "last frame": (later, last)}
    chosen: dict[str, Any] = {
        name: answer(one, clips.ask(one, shown), embedder)[0] for name, (one, shown) in asks.items()
    }
    chosen |= {"present": present}
    moving = np.array([one.answers[0] != text for one, text in zip(later, present, strict=True)])
    where = {"all": list(range(len(later))), "moving": np.flatnonzero(moving).tolist()}
    return {
        name: {part: _mean(later, hits(later, texts), places) for part, places in where.items()}
        for name, texts in chosen.items()
    }


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """The groups about time in which the model, in order, is not clearly better than with the frames shuffled."""
    metrics = result["metrics"]
    groups = [
        f"{group} ({cell(metrics[group]['in order'], 'percent')} in order, "
        f"{cell(metrics[group]['shuffled']['mean'], 'percent')} shuffled)"
        for group in GROUPS
        if group in metrics and group not in TIMELESS
        and metrics[group]["in order"]["low"] <= metrics[group]["shuffled"]["high"]
    ]  # fmt: skip
    return {"weak": ", ".join(groups) or "none"}
