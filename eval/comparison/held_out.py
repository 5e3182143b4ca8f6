"""Reads the test pictures, once, at all checkpoints of all seeds; and what both learners cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.comparison.constant import constant_captions, frequent_classes
from eval.comparison.cost import costs
from eval.comparison.data import Pictures
from eval.comparison.learners import EmbeddingLearner
from eval.comparison.runner import Plan, load_checkpoint
from eval.comparison.score import caption_statistics, measure
from eval.comparison.study import RESULT, Say, kept, overfit
from eval.comparison.world import ARMS, Setting, World
from eval.harness.suite import ROOT
from eval.mini import provenance
from eval.mini.bootstrap import paired_bootstrap
from vljepa.configs import load_decoder_run_config
from vljepa.errors import DataError
from vljepa.checkpoint.decoder import load_decoder
from vljepa.parts.saved import DECODER_FOLDER, saved_folder
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.decoder import DecoderTrainer

OWN, SHIPPED, TOKENS = "own decoder", "shipped decoder", "tokens"
READERS = {"ours": (OWN, SHIPPED), "vlm": (TOKENS,)}
METRICS = ("top1", "top5", "to_text", "to_image")
PROTOCOL = {
    "emoji": "one picture per concept, style as in the suite; classes and texts are the names of all test concepts",
    "photos": "classes are the 80 COCO names, right when among the annotated objects; texts are the first captions",
    "scores": "ours: cosine of prediction and text; token VLM: mean log-likelihood per token of the text as the whole "
    "caption, the end mark included; the same candidates; ties count against the learner",
    "to_text, to_image": "R@1 in both directions",
    "captions": "greedy; CIDEr-D against the picture's captions (emoji: its name), weights from this test set",
    "weights": "moving average of each checkpoint; the learning rate is constant after the warm-up, so that every "
    "checkpoint is what a run of that length would give",
    "interval": "95%, 10000 resamples of pictures, the seeds' values of a picture drawn together; the seeds' own means "
    "stand beside it",
    "constant": "one caption for all pictures: the most frequent of the training captions, that of the source, and the "
    "training caption that is best for all validation pictures at once; one ranking for all photos: the classes by "
    "their frequency in the training photos",
}


def read_test(setting: Setting, *, say: Say) -> dict[str, Any]:
    """The whole result."""
    trained = _trained(setting)
    checkpoints = setting.until(trained["steps"])
    world = World(setting)
    decoders = _decoders(
        world, Plan("ours", trained["chosen"]["ours"], setting.suite["seeds"][0]), checkpoints[-1], say=say
    )
    pictures = world.pictures("test")
    measured: dict[str, dict[int, list[dict[str, Any]]]] = {arm: {} for arm in ARMS}
    curves: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for arm in ARMS:
        for seed in setting.suite["seeds"]:
            plan = Plan(arm, trained["chosen"][arm], seed)
            learner = world.learner(arm, lr=plan.lr, seed=seed)
            read_by = ""
            if isinstance(learner, EmbeddingLearner):
                learner.decoders = decoders
                read_by = f"_decoder_{checkpoints[-1]:06}"
            folder = setting.work / plan.name
            curves[arm].append(json.loads((folder / "curve.json").read_text(encoding="utf-8")))
            for step in checkpoints:
                load_checkpoint(learner, folder, step=step)
                seen = kept(folder / f"test_{step:06}{read_by}.json", lambda one=learner: measure(one, pictures))
                measured[arm].setdefault(step, []).append(seen)
            say(f"{plan.name}: test pictures read")
    return {
        "task": "captions, classification and retrieval against samples seen: embeddings against tokens",
        "split": "test",
        **provenance.origin("eval.comparison"),
        "data": provenance.data_of(setting.data),
        "packages": provenance.packages(),
        "suite": setting.suite,
        "recipe": setting.recipe(lr=1.0, seed=0).model_dump(mode="json"),
        "protocol": PROTOCOL,
        "pool": {name: {"pictures": len(one.paths), "classes": len(one.classes)} for name, one in pictures.items()},
        "training": trained,
        "sanity": kept(setting.work / "sanity.json", lambda: overfit(world, say=say)),
        "runs": curves,
        "curves": curves_of(setting.recipe(lr=1.0, seed=0).train.batch_size, measured),
        "constant": {
            "captions": constant_captions(setting.data, pictures, world.pictures("validation")),
            "photos ranking": frequent_classes(setting.data, setting.photos, pictures["photos"]),
        },
        "examples": _examples(measured, pictures, checkpoints[-1]),
        "cost": costs(world, decoders[OWN], say=say),
    }


def _trained(setting: Setting) -> dict[str, Any]:
    """What `train` has left.

    Raises:
        DataError: No stage is complete.
    """
    file = setting.work / RESULT
    if not file.is_file():
        raise DataError(f"there is no {str(file)!r}: no stage of the training is complete.", fix="train first.")
    trained: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return trained


def _decoders(world: World, plan: Plan, step: int, *, say: Say) -> dict[str, Any]:
    """Our arm's own decoder, trained now if it was not, and the shipped one."""
    setting = world.setting
    learner = world.learner(plan.arm, lr=plan.lr, seed=plan.seed)
    assert isinstance(learner, EmbeddingLearner)
    load_checkpoint(learner, setting.work / plan.name, step=step)
    model = setting.work / f"ours_{step:06}"
    if not model.is_dir():
        learner.model.save_pretrained(model)
    run = load_decoder_run_config(
        ROOT / setting.suite["decoder"],
        [
            f"model={model}",
            f"data.root={setting.data}",
            f"data.cache.folder={setting.work / 'cache'}",
            f"train.output={setting.work / f'decoder_{step:06}'}",
            f"train.steps={step}",
        ],
    )
    say("decoder of our arm")
    own = DecoderTrainer(run, device="cpu").fit().model_folder
    space = learner.model.text_space_hash()
    folders = {OWN: own, SHIPPED: saved_folder("mini") / DECODER_FOLDER}
    return {
        name: (load_decoder(folder, text_space=space), DecoderTokenizer.from_folder(folder))
        for name, folder in folders.items()
    }


def curves_of(batch_size: int, measured: dict[str, dict[int, list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """By source and checkpoint: every metric of both arms with interval and seeds, and the paired differences."""
    points = []
    for step in measured["ours"]:
        for source in ("emoji", "photos"):
            values = {
                arm: {name: [seen[source][name] for seen in measured[arm][step]] for name in _names(arm)}
                for arm in ARMS
            }
            against = {name: values["vlm"][name] for name in METRICS}
            against |= {f"cider/{reader}": values["vlm"][f"cider/{TOKENS}"] for reader in READERS["ours"]}
            points.append(
                {
                    "step": step,
                    "samples": step * batch_size,
                    "source": source,
                    "arms": {
                        arm: {
                            name: {**_interval(seeds), "seeds": [sum(one) / len(one) for one in seeds]}
                            for name, seeds in some.items()
                        }
                        for arm, some in values.items()
                    },
                    "ours_minus_vlm": {
                        name: _interval(
                            [
                                [mine - other for mine, other in zip(*pair, strict=True)]
                                for pair in zip(values["ours"][name], seeds, strict=True)
                            ]
                        )
                        for name, seeds in against.items()
                    },
                }
            )
    return points


def _names(arm: str) -> tuple[str, ...]:
    return (*METRICS, *(f"cider/{reader}" for reader in READERS[arm]))


def _interval(seeds: list[list[float]]) -> dict[str, float]:
    """Mean and interval of items' values, by seed."""
    found = paired_bootstrap([{str(item): value for item, value in enumerate(values)} for values in seeds])
    return {"mean": found["mean"], "low": found["low"], "high": found["high"]}


def _examples(
    measured: dict[str, dict[int, list[dict[str, Any]]]], pictures: dict[str, Pictures], step: int
) -> dict[str, Any]:
    """Captions of the first seed's last checkpoint, and how different they are."""
    found: dict[str, Any] = {}
    for source, some in pictures.items():
        said = {reader: measured[arm][step][0][source][f"said/{reader}"] for arm in ARMS for reader in READERS[arm]}
        found[source] = {
            "statistics": {name: caption_statistics(texts) for name, texts in said.items()},
            "captions": [
                {"picture": Path(path).name, "right": right[0], **{name: texts[place] for name, texts in said.items()}}
                for place, (path, right) in enumerate(zip(some.paths, some.references, strict=True))
            ],
        }
    return found
