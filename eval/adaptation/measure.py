"""Trains every arm on the same few pictures, and reads the test pictures once per arm.

Shapes: N pictures, K kinds, D width of the shared space, E of the frozen features.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.adaptation.forgetting import Memory
from eval.adaptation.report import ARMS, UNTRAINED
from eval.mini import provenance
from vljepa.backends.pooling import masked_mean
from vljepa.configs import RunConfig, load_run_config
from vljepa.inference.embed import Embedder
from vljepa.metrics import retrieval, top_k_hits
from vljepa.training.trainer import Trainer

Row = dict[str, str]
RECIPE = Path("recipes/lora_retrieval.yaml")
PROTOCOL = {
    "data": "50 kinds; training pictures drawn by seed, 3 pictures of each kind for validation, 5 for the test",
    "accuracy": "the nearest of the 50 names; ties count against the model",
    "R@1": "text to image: whether the picture nearest to a name shows it, among all test pictures",
    "linear probe": "logistic regression on mean visual tokens and classifier outputs, C chosen on validation",
    "LoRA": "recipes/lora_retrieval.yaml as it is, 150 steps, checkpoint chosen on validation",
    "full predictor": "the same without adapters, learning rate 3e-4",
    "forgetting": "mini's own test sets: image-to-text R@1 on 84 photos and 209 emoji, mean accuracy of about 100 "
    "closed questions each about shapes, emoji and photos",
    "from scratch": "the same from mini's parts with a random Predictor of that size and without a label prior",
}


def measure(
    *,
    data: Path,
    mini_data: Path,
    work: Path,
    shots: Sequence[int],
    seeds: Sequence[int],
    arms: Sequence[str] = ARMS,
    kept: dict[str, Any] | None = None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The whole result.

    Args:
        data: Folder of the photos.
        mini_data: Prepared folder of mini's own data, for what is forgotten.
        work: Folder for the samples and the runs.
        shots: Training pictures of each kind.
        seeds: Of the samples and the runs.
        arms: Which of ARMS are measured.
        kept: An earlier result, whose rows of other arms are taken over, with where they come from.
        say: Takes progress lines.
    """
    rows = read_photos(data)
    pool, held, test = ([row for row in rows if row["split"] == split] for split in ("train", "validation", "test"))
    result = _header(pool=len(test)) | ({} if kept is None else keep(kept, without=arms))

    def note(arm: str, few: int, seed: int, figures: dict[str, float]) -> None:
        result["rows"].append({"arm": arm, "shots": few, "seed": seed, **figures})
        say(f"{arm}, {few} of each, seed {seed}: accuracy {figures['accuracy']:.3f}, R@1 {figures['r1']:.3f}")

    def figures(embedder: Embedder) -> dict[str, float]:
        return score(embedder, test, data) | memory.remembered(embedder)

    mini = Embedder.from_pretrained("mini")
    memory = Memory(mini_data, embedder=mini)
    if "zero-shot" in arms:
        note("zero-shot", 0, 0, figures(mini))
    features = {}
    if "linear probe" in arms:
        features = {row["image"]: feature for row, feature in zip(rows, frozen(mini, rows, data), strict=True)}
    for few in shots:
        for seed in seeds:
            train = sample(pool, few, seed)
            if "linear probe" in arms:
                note("linear probe", few, seed, probe(features, train, held, test))
            for arm in (arm for arm in arms if arm not in UNTRAINED):
                name = f"{arm}_{few}_{seed}".replace(" ", "_")
                recipe = arm_recipe(arm, train, held, data=data, work=work, name=name, seed=seed)
                done = Trainer(recipe, device="cpu").fit()
                note(arm, few, seed, figures(Embedder.from_pretrained(str(done.model_folder))))
    return result


def _header(*, pool: int) -> dict[str, Any]:
    return {
        "task": "accuracy among 50 kinds of groceries, and R@1, after adaptation",
        **provenance.origin("eval.adaptation"),
        "packages": provenance.packages(),
        "protocol": PROTOCOL,
        "pool": pool,
        "rows": [],
    }


def read_photos(data: Path) -> list[Row]:
    """Rows of photos.jsonl, with the label as the text."""
    rows = [json.loads(line) for line in (data / "photos.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row | {"text": row["label"].lower()} for row in rows]


def keep(before: dict[str, Any], *, without: Sequence[str]) -> dict[str, Any]:
    """Rows of an earlier result but for some arms, and where those that stay come from."""
    rows = [row for row in before["rows"] if row["arm"] not in without]
    origin = {key: before[key] for key in ("command", "commit", "uncommitted_changes", "date", "hardware", "versions")}
    earlier = [one | {"arms": [arm for arm in one["arms"] if arm not in without]} for one in before.get("kept", [])]
    known = [arm for one in earlier for arm in one["arms"]]
    own = [arm for arm in ARMS if arm not in known and any(row["arm"] == arm for row in rows)]
    return {"rows": rows, "kept": [one for one in (*earlier, {"arms": own, **origin}) if one["arms"]]}


def sample(train: Sequence[Row], few: int, seed: int) -> list[Row]:
    """`few` pictures of each kind."""
    random = np.random.default_rng(seed)
    kinds = sorted({row["text"] for row in train})
    groups = {kind: [row for row in train if row["text"] == kind] for kind in kinds}
    return [groups[kind][place] for kind in kinds for place in random.permutation(len(groups[kind]))[:few]]


def arm_recipe(
    arm: str, train: Sequence[Row], held: Sequence[Row], *, data: Path, work: Path, name: str, seed: int
) -> RunConfig:
    """The shipped recipe on a sample of the photos, changed as the arm says."""
    folder = work / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", train), ("validation", held)):
        lines = [json.dumps({"image": row["image"], "text": row["text"]}) + "\n" for row in rows]
        (folder / f"{name}.{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    sources = [
        {"name": kind, "path": str((folder / f"{name}.{kind}.jsonl").resolve()), "root": str(data.resolve())}
        for kind in ("train", "validation")
    ]
    overrides = [
        f"data.train={json.dumps(sources[:1])}",
        f"data.validation={json.dumps(sources[1:])}",
        f"data.cache.folder={work / 'cache'}",
        f"train.output={work / name}",
        f"train.seed={seed}",
        f"train.batch_size={min(100, len(train))}",
    ]
    run = load_run_config(RECIPE, overrides)
    if arm == "LoRA":
        return run
    optim = run.optim.model_copy(update={"lr": 3e-4})
    if arm == "full predictor":
        return run.model_copy(update={"lora": None, "optim": optim})
    config = Embedder.from_pretrained("mini").model.config.model_copy(deep=True)
    config.predictor.part = config.predictor.part.model_copy(update={"source": "random", "sha256": None, "seed": seed})
    config.predictor.label_prior = None
    return run.model_copy(update={"start": None, "lora": None, "model": config, "optim": optim})


def score(embedder: Embedder, test: Sequence[Row], data: Path) -> dict[str, float]:
    """Accuracy among the names, and text-to-image R@1."""
    kinds = sorted({row["text"] for row in test})
    pictures_ND = embedder.images([data / row["image"] for row in test])
    names_KD = embedder.texts(kinds)
    labels_N = np.array([kinds.index(row["text"]) for row in test])
    positives = [list(np.flatnonzero(labels_N == kind)) for kind in range(len(kinds))]
    return {
        "accuracy": float(top_k_hits(pictures_ND @ names_KD.T, labels_N).mean()),
        "r1": retrieval(names_KD, pictures_ND, positives=positives)["r1"],
    }


@torch.inference_mode()
def frozen(embedder: Embedder, rows: Sequence[Row], data: Path) -> np.ndarray:
    """What the frozen X-Encoder says of each picture, [N, E]: mean visual token and classifier outputs."""
    found = []
    for row in rows:
        vision = embedder.model.encode_vision(embedder.read(data / row["image"]).to(embedder.device))
        pieces = [masked_mean(vision.tokens_BND, vision.mask_BN)]
        if vision.logits_BK is not None:
            pieces.append(vision.logits_BK)
        found.append(torch.cat(pieces, dim=1)[0].float().cpu().numpy())
    return np.stack(found)


def probe(
    features: dict[str, np.ndarray], train: Sequence[Row], held: Sequence[Row], test: Sequence[Row]
) -> dict[str, float]:
    """A linear classifier on frozen features; its class scores stand in for names."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def arrays(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        return np.stack([features[row["image"]] for row in rows]), np.array([row["text"] for row in rows])

    fitted = []
    for strength in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        model.fit(*arrays(train))
        fitted.append((model.score(*arrays(held)), model))
    best = max(fitted, key=lambda pair: pair[0])[1]
    seen, wanted = arrays(test)
    kinds = list(best.classes_)
    scores_NK = best.decision_function(seen)
    labels_N = np.array([kinds.index(text) for text in wanted])
    nearest = [int(labels_N[scores_NK[:, kind].argmax()]) == kind for kind in range(len(kinds))]
    return {"accuracy": float(top_k_hits(scores_NK, labels_N).mean()), "r1": float(np.mean(nearest))}
