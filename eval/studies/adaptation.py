"""Adaptation of mini to photos of 50 kinds of groceries, from 1, 3 or 12 of each, and what it forgets by that.

Shapes: N images, K kinds, D width of the shared space, E of the frozen features.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.core.console import log
from eval.core.embedding import EncodedImages
from eval.core.prepared import Captioned, read_captions, read_questions
from eval.core.render import cell
from eval.core.result import Context, Result
from eval.core.statistics import spread
from vljepa.configs import RunConfig, load_run_config
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.metrics import retrieval, top_k_hits
from vljepa.training.trainer import Trainer
from vljepa.validation.tasks import VqaTask

Row = dict[str, str]
RECIPE = Path("recipes/lora_retrieval.yaml")
UNGUARDED = "LoRA without distillation"
TRAINED = ("LoRA", UNGUARDED, "full predictor", "from scratch")
ARMS = ("zero-shot", "linear probe", *TRAINED)
STYLE = "fluent"
QUESTIONS = 100
KINDS = ("easy_vqa", "emoji", "photos")


def measure(context: Context, *, shots: Sequence[int], seeds: Sequence[int], arms: Sequence[str] = ARMS) -> Result:
    """Train every arm on the same few images, and read the test images once per arm.

    Args:
        context: `photos` and the prepared folder; what is complete in the work folder is not trained again.
        shots: Training images of each kind.
        seeds: Of the samples and the runs.
        arms: Which of `ARMS`; those of an earlier result can be put beside them, as `kept` of the result says.

    Raises:
        ConfigError: The model is another than mini, from which the recipe starts, or there is no such arm.
    """
    name = context.model.name
    if name != "mini":
        raise ConfigError(f"the recipe of this suite starts from mini, not {name!r}.", fix="--model mini.")
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown:
        raise ConfigError(f"there is no arm {unknown[0]!r}.", fix=f"arms are {', '.join(ARMS)}.")
    data, work = context.found.files["photos"].parent, context.work / "adaptation"
    photos = read_photos(data)
    pool, held, test = ([row for row in photos if row["split"] == split] for split in ("train", "validation", "test"))
    rows: list[dict[str, Any]] = []

    def note(arm: str, few: int, seed: int, figures: dict[str, float]) -> None:
        rows.append({"arm": arm, "shots": few, "seed": seed, **figures})
        log(f"{arm}, {few} of each, seed {seed}: accuracy {figures['accuracy']:.3f}, R@1 {figures['r1']:.3f}")

    mini, memory = context.embedder, Memory(context.found.folder, context.embedder)
    if "zero-shot" in arms:
        note("zero-shot", 0, 0, score(mini, test, data) | memory.remembered(mini))
    features: dict[str, np.ndarray] = {}
    if "linear probe" in arms:
        paths = [data / row["image"] for row in photos]
        encoded = EncodedImages(mini, paths).features(paths)
        features = {row["image"]: feature for row, feature in zip(photos, encoded, strict=True)}
    for few in shots:
        for seed in seeds:
            train = sample(pool, few, seed)
            if features:
                note("linear probe", few, seed, probe(features, train, held, test))
            for arm in (one for one in TRAINED if one in arms):
                run = f"{arm}_{few}_{seed}".replace(" ", "_")
                recipe = arm_recipe(arm, train, held, data=data, work=work, name=run, seed=seed)
                done = Embedder.from_pretrained(str(Trainer(recipe, device="cpu").fit().model_folder))
                note(arm, few, seed, score(done, test, data) | memory.remembered(done))
    return Result(rows=len(rows), pool=[{"test images": len(test)}], more={"pool": len(test), "rows": rows})


class Memory:
    """Mini's own test sets, encoded by the X-Encoder once: it is frozen, and all arms share it."""

    def __init__(self, data: Path, embedder: Embedder) -> None:
        self.captions = {
            source: [one for one in read_captions(data, source, "test") if source != "emoji" or one.style == STYLE]
            for source in ("photos", "emoji")
        }
        whole = {kind: read_questions(data, kind, "test") for kind in KINDS}
        self.questions = [VqaTask(kind, rows[:: max(1, len(rows) // QUESTIONS)]) for kind, rows in whole.items()]
        images = [one.path for rows in self.captions.values() for one in rows]
        images += [image for task in self.questions for image, _ in task.pairs() if isinstance(image, Path)]
        self._encoded = EncodedImages(embedder, images)

    def remembered(self, embedder: Embedder) -> dict[str, float]:
        """Image-to-text R@1 on the test photos and emoji, and accuracy on closed questions, all 0 to 1."""

        def answered(task: VqaTask) -> float:
            rows_ND, texts_MD = self._encoded.ask(task.pairs(), embedder=embedder), embedder.texts(task.texts())
            return float(top_k_hits(task.scores(rows_ND, texts_MD), task.labels_N).mean())

        def retrieved(items: Sequence[Captioned]) -> float:
            places = {text: n for n, text in enumerate(dict.fromkeys(text for one in items for text in one.texts))}
            positives = [[places[text] for text in one.texts] for one in items]
            images_ND = self._encoded.ask([(one.path, "") for one in items], embedder=embedder)
            return retrieval(images_ND, embedder.texts(list(places)), positives=positives)["r1"]

        shares = {f"{source}_r1": retrieved(items) for source, items in self.captions.items()}
        return {**shares, "questions": float(np.mean([answered(task) for task in self.questions]))}


def read_photos(data: Path) -> list[Row]:
    """Rows of photos.jsonl, with the label as the text."""
    rows = [json.loads(line) for line in (data / "photos.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row | {"text": row["label"].lower()} for row in rows]


def sample(train: Sequence[Row], few: int, seed: int) -> list[Row]:
    """`few` images of each kind."""
    random = np.random.default_rng(seed)
    kinds = sorted({row["text"] for row in train})
    groups = {kind: [row for row in train if row["text"] == kind] for kind in kinds}
    return [groups[kind][place] for kind in kinds for place in random.permutation(len(groups[kind]))[:few]]


def arm_recipe(
    arm: str, train: Sequence[Row], held: Sequence[Row], *, data: Path, work: Path, name: str, seed: int
) -> RunConfig:
    """The shipped recipe on a sample of the photos, changed as the arm says."""
    folder, sources = work / "samples", []
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", train), ("validation", held)):
        path = folder / f"{name}.{split}.jsonl"
        lines = [json.dumps({"image": row["image"], "text": row["text"]}) + "\n" for row in rows]
        path.write_text("".join(lines), encoding="utf-8")
        sources.append({"name": split, "path": str(path.resolve()), "root": str(data.resolve())})
    overrides = [
        f"data.train={json.dumps(sources[:1])}",
        f"data.validation={json.dumps(sources[1:])}",
        f"data.cache.folder={work / 'cache'}",
        f"train.output={work / name}",
        f"train.seed={seed}",
        f"train.batch_size={min(100, len(train))}",
        *([] if arm == "LoRA" else ["objective.distillation=0", "data.replay=null"]),
    ]
    run = load_run_config(RECIPE, overrides)
    if arm in ("LoRA", UNGUARDED):
        return run
    optim = run.optim.model_copy(update={"lr": 3e-4})
    if arm == "full predictor":
        return run.model_copy(update={"lora": None, "optim": optim})
    config = Embedder.from_pretrained("mini").model.config.model_copy(deep=True)
    config.predictor.part = config.predictor.part.model_copy(update={"source": "random", "sha256": None, "seed": seed})
    config.residual = None
    return run.model_copy(update={"start": None, "lora": None, "model": config, "optim": optim})


def score(embedder: Embedder, test: Sequence[Row], data: Path) -> dict[str, float]:
    """Accuracy among the names, and text-to-image R@1."""
    kinds = sorted({row["text"] for row in test})
    images_ND = embedder.images([data / row["image"] for row in test])
    names_KD = embedder.texts(kinds)
    labels_N = np.array([kinds.index(row["text"]) for row in test])
    positives = [np.flatnonzero(labels_N == kind).tolist() for kind in range(len(kinds))]
    return {
        "accuracy": float(top_k_hits(images_ND @ names_KD.T, labels_N).mean()),
        "r1": retrieval(names_KD, images_ND, positives=positives)["r1"],
    }


def probe(
    features: dict[str, np.ndarray], train: Sequence[Row], held: Sequence[Row], test: Sequence[Row]
) -> dict[str, float]:
    """A linear classifier on frozen features; its class scores stand in for names."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def arrays(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([features[row["image"]] for row in rows]), np.array([row["text"] for row in rows])

    fitted = [
        make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)).fit(*arrays(train))
        for strength in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    ]
    best = max(fitted, key=lambda model: float(model.score(*arrays(held))))
    seen, wanted = arrays(test)
    kinds = list(best.classes_)
    scores_NK = best.decision_function(seen)
    labels_N = np.array([kinds.index(text) for text in wanted])
    nearest = [int(labels_N[scores_NK[:, kind].argmax()]) == kind for kind in range(len(kinds))]
    return {"accuracy": float(top_k_hits(scores_NK, labels_N).mean()), "r1": float(np.mean(nearest))}


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """Numbers of images and of seeds, arms, and an arm's figures as mean (standard deviation) over seeds."""
    shots = sorted({row["shots"] for row in result["rows"]} - {0})

    def figures(arm: str, few: int, keys: Sequence[str]) -> str:
        rows = [row for row in result["rows"] if row["arm"] == arm and row["shots"] in (few, 0)]
        return " / ".join(cell(spread([row[key] for row in rows]), "percent") for key in keys) if rows else ""

    return {
        "shots": {f"{few} of each kind": few for few in shots},
        "seeds": len({row["seed"] for row in result["rows"]}),
        "arms": ARMS,
        "remembering": ("zero-shot", *TRAINED),
        "figures": figures,
    }
