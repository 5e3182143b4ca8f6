"""The order of things: the grid, the choice on validation, all seeds; and the opponent's sanity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from eval.comparison.learners import Learner, TokenLearner
from eval.comparison.runner import Plan, load_checkpoint, train_run
from eval.comparison.score import choice_of, means, measure
from eval.comparison.world import ARMS, Setting, World
from eval.mini.data import read_captions
from vljepa.data.collate import StepBatches
from vljepa.processing.text import normalise_text

Say = Callable[[str], None]
RESULT = "train.json"
PAIRS, PAIR_STEPS, PAIR_LR = 100, 100, 1e-3


def train(setting: Setting, *, say: Say) -> dict[str, Any]:
    """All runs; what is complete in `setting.work` is not done again. Reads no test picture.

    The grid runs to `grid_steps`; the learning rates that are best on validation there go on, with all seeds, from
    checkpoint to checkpoint, so that there is a whole comparison after each. `train.json` in the work folder says how
    far all have come.

    Returns:
        The validation figures of the grid, the learning rate chosen for each arm, and the steps that all have done.
    """
    world = World(setting)
    seeds, first_stage = setting.suite["seeds"], setting.suite["grid_steps"]
    grid = [Plan(arm, lr, seeds[0]) for lr in setting.suite["learning_rates"] for arm in ARMS]
    found = {}
    for plan in grid:
        run_until(world, plan, first_stage, say=say)
        found[plan] = validated(world, plan, first_stage, say=say)
    chosen = {
        arm: max((one for one in grid if one.arm == arm), key=lambda one: choice_of(found[one])).lr for arm in ARMS
    }
    result = {
        "chosen": chosen,
        "validation": [
            {"arm": plan.arm, "lr": plan.lr, "step": first_stage, "choice": choice_of(mean), **mean}
            for plan, mean in found.items()
        ],
    }
    for stage in (one for one in setting.suite["checkpoints"] if one >= first_stage):
        for seed in seeds:
            for arm in ARMS:
                run_until(world, Plan(arm, chosen[arm], seed), stage, say=say)
        result["steps"] = stage
        write(setting.work / RESULT, result)
        say(f"stage complete: {stage} steps")
    return result


def run_until(world: World, plan: Plan, step: int, *, say: Say) -> None:
    """Bring a run to a checkpoint, from wherever it is."""
    setting = world.setting

    def start() -> tuple[Learner, StepBatches]:
        learner = world.learner(plan.arm, lr=plan.lr, seed=plan.seed)
        return learner, world.batches(learner, lr=plan.lr, seed=plan.seed)

    train_run(
        plan,
        setting.work / plan.name,
        run=setting.recipe(lr=plan.lr, seed=plan.seed),
        checkpoints=setting.until(step),
        digest=setting.digest(),
        start=start,
        say=say,
    )


def validated(world: World, plan: Plan, step: int, *, say: Say) -> dict[str, float]:
    """Validation figures of a run's checkpoint."""
    folder = world.setting.work / plan.name

    def look() -> dict[str, float]:
        learner = world.learner(plan.arm, lr=plan.lr, seed=plan.seed)
        load_checkpoint(learner, folder, step=step)
        return means(measure(learner, world.pictures("validation")))

    mean: dict[str, float] = kept(folder / f"validation_{step:06}.json", look)
    say(f"{plan.name}: {choice_of(mean):.4f}  " + "  ".join(f"{name} {value:.3f}" for name, value in mean.items()))
    return mean


def overfit(world: World, *, say: Say) -> dict[str, float]:
    """Whether the opponent can learn a few pairs by heart: the share of captions that come out word for word."""
    data = world.setting.data
    rows = {one.texts[0]: one.path for one in read_captions(data, "emoji", "train") if one.style == "fluent"}
    texts, paths = list(rows)[:PAIRS], list(rows.values())[:PAIRS]
    world.reader.fill(dict.fromkeys(paths, 1), model=world.base, processor=world.processor)
    learner = world.learner("vlm", lr=PAIR_LR, seed=0)
    assert isinstance(learner, TokenLearner)
    model, tokens_BND = learner.model, world.reader.read([(path, 0) for path in paths]).tensors["vision_tokens"]
    ids, mask = learner.tokenizer.encode(texts, max_tokens=world.setting.suite["max_new_tokens"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=PAIR_LR, fused=True)
    model.train()
    for _ in range(PAIR_STEPS):
        with world.accelerator.autocast():
            loss = model(tokens_BND, ids, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    said = learner.captions(paths)["tokens"]
    exact = sum(normalise_text(one) == normalise_text(two) for one, two in zip(said, texts, strict=True)) / len(texts)
    say(f"the token VLM after {PAIR_STEPS} steps on {PAIRS} pairs: loss {float(loss.detach()):.3f}, {exact:.0%} exact")
    return {"pairs": len(texts), "steps": PAIR_STEPS, "loss": float(loss.detach()), "exact": exact}


def kept(file: Path, work: Callable[[], Any]) -> Any:
    """What `work` gives, kept in a JSON file: the next time it is read from there."""
    if not file.is_file():
        write(file, work())
    return json.loads(file.read_text(encoding="utf-8"))


def write(file: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(file)
