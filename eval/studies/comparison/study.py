"""The controlled comparison in its order: the grid, the choice on validation, all seeds, the test images once, cost.

What is complete in the work folder is not done again; a run that was interrupted resumes at its last checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.core import provenance
from eval.core.cache import kept, key_of
from eval.core.console import log
from eval.core.prepared import read_captions
from eval.core.result import Context, Result
from eval.studies.comparison.cost import costs
from eval.studies.comparison.data import Images, constant_captions, constant_ranking
from eval.studies.comparison.learners import EmbeddingLearner, Learner, TokenLearner
from eval.studies.comparison.points import OWN, READERS, SHIPPED, curves_of
from eval.studies.comparison.points import plots as plots
from eval.studies.comparison.runner import Plan, finished_curve, load_checkpoint, train_run
from eval.studies.comparison.shared import ARMS, Setting, Shared
from eval.tasks.coco_classes import hits_in_truth
from vljepa.checkpoint.decoder import load_decoder
from vljepa.configs import load_decoder_run_config
from vljepa.data.collate import StepBatches
from vljepa.metrics.captions import CiderD, distinct_share, mean_length
from vljepa.parts.saved import DECODER_FOLDER, saved_folder
from vljepa.processing.text import normalise_text
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.decoder import DecoderTrainer

CHOICE = ("emoji/top5", "emoji/to_image", "photos/to_image")
"""What chooses the learning rate: their mean, on validation. Not the photos' classes: frequency alone scores there."""
FIRST_RATES = 3
"""Learning rates that are always tried; the grid goes on, for both arms, while the best of one is the highest."""
PAIRS, PAIR_STEPS, PAIR_LR = 100, 100, 1e-3


def measure(context: Context, *, only: str = "", **suite: Any) -> Result:
    """Train all runs, then read the test images.

    Args:
        context: The prepared folder and the photos.
        only: `grid` stops after the choice of the learning rates, and reads no test image.
        suite: Recipes, learning rates, seeds and checkpoints.
    """
    photos = context.found.files["photos"].parent
    setting = Setting(suite, context.found.folder, photos, context.work / "comparison")
    shared = Shared(setting)
    trained = grid(shared)
    if only == "grid":
        figures = {f"{one['arm']}, {one['lr']:g}": {name: one[name] for name in ("choice", *CHOICE)} for one in
                   trained["validation"]}  # fmt: skip
        return Result(metrics=figures, rows=len(figures), pool=[{}], prompt="", more={"training": trained})
    for stage in (one for one in suite["checkpoints"] if one >= suite["grid_steps"]):
        for seed in suite["seeds"]:
            for arm in ARMS:
                run_until(shared, Plan(arm, trained["chosen"][arm], seed), stage)
        trained["steps"] = stage
    return read_test(shared, trained)


def grid(shared: Shared) -> dict[str, Any]:
    """Tries learning rates with the first seed, until the best of both arms is inside the grid.

    Returns:
        The validation figures, the rate chosen for each arm, and the arms whose best is at the edge of the grid.
    """
    suite = shared.setting.suite
    seed, steps = suite["seeds"][0], suite["grid_steps"]
    found: dict[Plan, dict[str, float]] = {}
    chosen: dict[str, float] = {}
    edge: list[str] = []
    for number, rate in enumerate(suite["learning_rates"]):
        if number >= FIRST_RATES and not edge:
            break
        for arm in ARMS:
            plan = Plan(arm, rate, seed)
            run_until(shared, plan, steps)
            found[plan] = validated(shared, plan, steps)
        chosen = {arm: best_rate(found, arm) for arm in ARMS}
        edge = [arm for arm in ARMS if chosen[arm] == rate]
    return {
        "chosen": chosen,
        "at_edge": edge,
        "validation": [
            {"arm": plan.arm, "lr": plan.lr, "step": steps, "choice": choice_of(mean), **mean}
            for plan, mean in found.items()
        ],
    }


def best_rate(found: dict[Plan, dict[str, float]], arm: str) -> float:
    """The learning rate with the best choice."""
    return max((plan for plan in found if plan.arm == arm), key=lambda plan: choice_of(found[plan])).lr


def choice_of(mean: dict[str, float]) -> float:
    """The one number that chooses the learning rate."""
    return float(np.mean([mean[name] for name in CHOICE]))


def run_until(shared: Shared, plan: Plan, step: int) -> None:
    """Bring a run to a checkpoint, from wherever it is."""
    setting = shared.setting

    def start() -> tuple[Learner, StepBatches]:
        learner = shared.learner(plan.arm, lr=plan.lr, seed=plan.seed)
        return learner, shared.batches(learner, lr=plan.lr, seed=plan.seed)

    train_run(
        plan,
        setting.work / plan.name,
        run=setting.recipe(lr=plan.lr, seed=plan.seed),
        checkpoints=setting.until(step),
        digest=setting.digest(),
        start=start,
    )


def validated(shared: Shared, plan: Plan, step: int) -> dict[str, float]:
    """Validation figures of a run's checkpoint."""
    file = shared.setting.work / plan.name / f"validation_{step:06}.json"
    mean: dict[str, float] = kept(
        file,
        _key(shared, plan, step),
        lambda: {"mean": means(score(loaded(shared, plan, step), shared.images("validation")))},
    )["mean"]
    log(f"{plan.name}: {choice_of(mean):.4f}  " + "  ".join(f"{name} {value:.3f}" for name, value in mean.items()))
    return mean


def loaded(shared: Shared, plan: Plan, step: int) -> Learner:
    """The learner of a run at a checkpoint."""
    learner = shared.learner(plan.arm, lr=plan.lr, seed=plan.seed)
    if isinstance(learner, TokenLearner):
        learner.marginal = shared.marginal
    load_checkpoint(learner, shared.setting.work / plan.name, step=step)
    return learner


def _key(shared: Shared, plan: Plan, step: int, **more: Any) -> dict[str, str]:
    data = provenance.data_digest(shared.setting.data)
    return key_of(__name__, recipe=shared.setting.digest(), plan=f"{plan.name}, {step}", data=data, **more)


def score(learner: Learner, sources: dict[str, Images]) -> dict[str, dict[str, Any]]:
    """By source, every metric's value per image, as lists; captions with their texts.

    `top1` and `top5`: a right class is among the best; `to_text`: the image's own text is the best of all; `to_image`:
    the text's own image is the best of all; with `pmi/` before them, by pointwise mutual information; `cider/NAME`:
    CIDEr-D of the caption that NAME wrote. Ties count against the learner.
    """
    return {name: _score(learner, images) for name, images in sources.items()}


def _score(learner: Learner, images: Images) -> dict[str, Any]:
    classes = learner.scores(images.paths, images.classes)
    texts = classes if images.texts == images.classes else learner.scores(images.paths, images.texts)
    own_NN = np.eye(len(images.paths), dtype=bool)
    found: dict[str, Any] = {}
    for scoring, classes_NC in classes.items():
        before = f"{scoring}/" if scoring else ""
        found[f"{before}top1"] = hits_in_truth(classes_NC, images.truth_NC, k=1)
        found[f"{before}top5"] = hits_in_truth(classes_NC, images.truth_NC, k=5)
        found[f"{before}to_text"] = hits_in_truth(texts[scoring], own_NN, k=1)
        found[f"{before}to_image"] = hits_in_truth(texts[scoring].T, own_NN, k=1)
    scorer, written = CiderD(images.references), learner.captions(images.paths)
    found |= {f"cider/{name}": scorer.scores(captions) for name, captions in written.items()}
    return {name: np.asarray(values, dtype=float).round(6).tolist() for name, values in found.items()} | {
        f"generated/{name}": captions for name, captions in written.items()
    }


def means(measured: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Mean of every metric, by `SOURCE/METRIC`."""
    return {
        f"{source}/{name}": float(np.mean(values))
        for source, metrics in measured.items()
        for name, values in metrics.items()
        if not name.startswith("generated/")
    }


def overfit(shared: Shared) -> dict[str, float]:
    """Whether the opponent can learn a few pairs by heart: the share of captions that come out word for word."""
    rows = {
        one.texts[0]: one.path
        for one in read_captions(shared.setting.data, "emoji", "train")
        if one.style == shared.setting.suite["emoji_style"]
    }
    texts, paths = list(rows)[:PAIRS], list(rows.values())[:PAIRS]
    shared.reader.fill(dict.fromkeys(paths, 1), model=shared.base, processor=shared.processor)
    learner = shared.learner("vlm", lr=PAIR_LR, seed=0)
    assert isinstance(learner, TokenLearner)
    model, seen = learner.model, learner.seen(paths)
    ids, mask = learner.tokenizer.encode(texts, max_tokens=shared.setting.suite["max_new_tokens"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=PAIR_LR, fused=True)
    model.train()
    for _ in range(PAIR_STEPS):
        with shared.accelerator.autocast():
            loss = model(seen.tokens_BND, ids, mask)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    captions = learner.captions(paths)["tokens"]
    exact = sum(normalise_text(one) == normalise_text(two) for one, two in zip(captions, texts, strict=True))
    return {"pairs": len(texts), "steps": PAIR_STEPS, "loss": float(loss.detach()), "exact": exact / len(texts)}


def read_test(shared: Shared, trained: dict[str, Any]) -> Result:
    """The test images, once, at all checkpoints of all seeds."""
    setting = shared.setting
    checkpoints, seeds = setting.until(trained["steps"]), setting.suite["seeds"]
    decoders = _decoders(shared, Plan("ours", trained["chosen"]["ours"], seeds[0]), checkpoints[-1])
    images = shared.images("test")
    measured: dict[str, dict[int, list[dict[str, Any]]]] = {arm: {} for arm in ARMS}
    runs: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    for plan in (Plan(arm, trained["chosen"][arm], seed) for arm in ARMS for seed in seeds):
        runs[plan.arm].append(finished_curve(setting.work / plan.name, until=checkpoints[-1], digest=setting.digest()))
        for step in checkpoints:
            key = _key(shared, plan, step, decoder=checkpoints[-1])

            def look(plan: Plan = plan, step: int = step) -> dict[str, Any]:
                learner = loaded(shared, plan, step)
                if isinstance(learner, EmbeddingLearner):
                    learner.decoders = decoders
                return score(learner, images)

            found = kept(setting.work / plan.name / f"test_{step:06}.json", key, look)
            measured[plan.arm].setdefault(step, []).append(found)
        log(f"{plan.name}: test images read")
    ranking = constant_ranking(setting.data, setting.photos, images["photos"])
    sanity = kept(
        setting.work / "sanity.json", _key(shared, Plan("vlm", PAIR_LR, 0), PAIR_STEPS), lambda: overfit(shared)
    )
    return Result(
        rows=sum(len(one.paths) for one in images.values()),
        pool=[{name: len(one.paths) for name, one in images.items()}],
        prompt=shared.base.config.prompts.caption,
        more={
            "recipe": setting.recipe(lr=1.0, seed=0).model_dump(mode="json"),
            "pool": {name: {"images": len(one.paths), "classes": len(one.classes)} for name, one in images.items()},
            "training": trained,
            "sanity": {name: value for name, value in sanity.items() if name != "key"},
            "runs": runs,
            "curves": curves_of(setting.recipe(lr=1.0, seed=0).train.batch_size, measured, ranking),
            "constant": {
                "captions": constant_captions(setting.data, images, shared.images("validation")),
                "photos ranking": {name: float(np.mean(hits)) for name, hits in ranking.items()},
            },
            "examples": _examples(measured, images, checkpoints[-1]),
            "cost": costs(shared, decoders[OWN]),
        },
    )


def _decoders(shared: Shared, plan: Plan, step: int) -> dict[str, Any]:
    """Our arm's own decoder, trained now if it was not, and the shipped one."""
    setting = shared.setting
    learner = loaded(shared, plan, step)
    assert isinstance(learner, EmbeddingLearner)
    model = setting.work / f"ours_{step:06}"
    if not model.is_dir():
        learner.model.save_pretrained(model)
    run = load_decoder_run_config(
        provenance.ROOT / setting.suite["decoder"],
        [
            f"model={model}",
            f"data.root={setting.data}",
            f"data.cache.folder={setting.work / 'cache'}",
            f"train.output={setting.work / f'decoder_{step:06}'}",
            f"train.steps={step}",
        ],
    )
    log("decoder of our arm")
    own = DecoderTrainer(run, device="cpu").fit().model_folder
    space = learner.model.text_space_hash()
    folders: dict[str, Path] = {OWN: Path(own), SHIPPED: saved_folder("mini") / DECODER_FOLDER}
    return {
        name: (load_decoder(folder, text_space=space), DecoderTokenizer.from_folder(folder))
        for name, folder in folders.items()
    }


def _examples(
    measured: dict[str, dict[int, list[dict[str, Any]]]], images: dict[str, Images], step: int
) -> dict[str, Any]:
    """Captions of the first seed's last checkpoint, and how different they are."""
    found: dict[str, Any] = {}
    for source, several in images.items():
        written = {
            reader: measured[arm][step][0][source][f"generated/{reader}"] for arm in ARMS for reader in READERS[arm]
        }
        found[source] = {
            "statistics": {
                name: {"distinct": distinct_share(texts), "length": mean_length(texts)}
                for name, texts in written.items()
            },
            "captions": [
                {"image": path.name, "right": right[0], **{name: texts[place] for name, texts in written.items()}}
                for place, (path, right) in enumerate(zip(several.paths, several.references, strict=True))
            ],
        }
    return found
