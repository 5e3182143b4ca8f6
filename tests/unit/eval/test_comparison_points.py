"""Points, PMI and what the comparison reports."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from eval import registry
from eval.studies.comparison import study
from eval.studies.comparison.data import Images, constant_ranking
from eval.studies.comparison.learners import pmi
from eval.studies.comparison.points import METRICS, READERS, SCORINGS, curves_of
from eval.studies.comparison.runner import Plan
from eval.tasks.coco_classes import CLASSES
from tests.conftest import write_rows
from tests.unit.eval.test_comparison import SAID, built, language_model, rows_of, shared  # noqa: F401  (fixtures)
from vljepa.backends import part_config, part_folder
from vljepa.configs import load_preset
from vljepa.models.x_encoder import XEncoder
from vljepa.processing.image import ImageTransform, open_image

IMAGES = Path(__file__).parents[2] / "assets/mini_sample/emoji/fluent"


def test_points_hold_both_arms_with_their_seeds_and_the_difference_on_the_same_images() -> None:
    def seen(arm: str, shift: float) -> dict[str, Any]:
        names = [f"{scoring}{name}" for scoring in SCORINGS[arm] for name in METRICS]
        names += [f"cider/{reader}" for reader in READERS[arm]]
        one = {name: [place % 2 + shift for place in range(40)] for name in names}
        return {"emoji": one, "photos": one}

    measured = {"ours": {5: [seen("ours", 0.5), seen("ours", 0.7)]}, "vlm": {5: [seen("vlm", 0.0), seen("vlm", 0.1)]}}
    ranking = {name: [(place + 1) % 2 for place in range(40)] for name in ("top1", "top5")}
    emoji, photos = curves_of(128, measured, ranking)
    assert (emoji["samples"], emoji["source"], photos["source"]) == (640, "emoji", "photos")
    top1 = emoji["arms"]["ours"]["top1"]
    assert top1["seeds"] == pytest.approx([1.0, 1.2])
    assert top1["mean"] == pytest.approx(1.1)
    assert top1["low"] < 1.1 < top1["high"]
    # Images differ by 1, but the two learners on the same image never do.
    for name in ("cider/shipped decoder", "top1", "pmi/top1"):
        difference = emoji["ours_minus_vlm"][name]
        assert [difference[end] for end in ("low", "mean", "high")] == pytest.approx([0.55] * 3)
    # Both arms against the constant ranking, on the same images: it is right where they are wrong.
    assert "minus_constant" not in emoji
    against = photos["minus_constant"]
    assert {arm: list(found) for arm, found in against.items()} == {
        "ours": ["top1", "top5"],
        "vlm": ["top1", "top5", "pmi/top1", "pmi/top5"],
    }
    assert against["ours"]["top1"]["mean"] == pytest.approx(0.6)
    assert against["vlm"]["pmi/top5"]["mean"] == pytest.approx(0.05)
    assert against["ours"]["top1"]["high"] - against["ours"]["top1"]["low"] > 0.4


def test_what_every_text_gets_is_taken_out_by_pmi() -> None:
    """Two texts, of which one is likely whatever the image is: PMI asks what the image adds."""
    sums_NC = np.array([[-1.0, -3.0], [-1.5, -6.0]], dtype=np.float32)
    marginal_MC = np.array([[-1.0, -6.0], [-1.0, -6.0], [-1.0, -6.0]], dtype=np.float32)
    assert sums_NC.argmax(1).tolist() == [0, 0]
    found = pmi(sums_NC, marginal_MC)
    assert found == pytest.approx(np.array([[0.0, 3.0], [-0.5, 0.0]]), abs=1e-6)
    # The mean is of likelihoods and not of their logs, and each column is shifted alike: images keep their order.
    one = pmi(sums_NC, np.array([[-1.0, -6.0], [-2.0, -6.0]], dtype=np.float32))
    own = np.log((np.exp(-1) + np.exp(-2)) / 2)
    assert one[:, 0] == pytest.approx([-1 - own, -1.5 - own], abs=1e-6)


class TestGrid:
    """The grid of learning rates goes on, for both arms, until the best of each is inside it."""

    def run(
        self, monkeypatch: pytest.MonkeyPatch, best: dict[str, float]
    ) -> tuple[dict[str, Any], list[tuple[str, float]]]:
        tried: list[tuple[str, float]] = []

        def validated(shared: Any, plan: Plan, steps: int) -> dict[str, float]:
            tried.append((plan.arm, plan.lr))
            return dict.fromkeys(study.CHOICE, -abs(np.log(plan.lr / best[plan.arm])))

        monkeypatch.setattr(study, "run_until", lambda *_: None)
        monkeypatch.setattr(study, "validated", validated)
        suite = {"learning_rates": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], "seeds": [0], "grid_steps": 80}
        return study.grid(SimpleNamespace(setting=SimpleNamespace(suite=suite))), tried  # type: ignore[arg-type]

    def test_it_stops_where_both_are_inside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, tried = self.run(monkeypatch, {"ours": 3e-4, "vlm": 3e-4})
        assert {rate for _, rate in tried} == {1e-4, 3e-4, 1e-3}
        assert (found["chosen"], found["at_edge"]) == ({"ours": 3e-4, "vlm": 3e-4}, [])

    def test_it_goes_on_for_both_while_one_is_at_the_edge(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, tried = self.run(monkeypatch, {"ours": 3e-4, "vlm": 3e-3})
        assert tried[-4:] == [("ours", 3e-3), ("vlm", 3e-3), ("ours", 1e-2), ("vlm", 1e-2)]
        assert (found["chosen"], found["at_edge"]) == ({"ours": 3e-4, "vlm": 3e-3}, [])

    def test_an_edge_that_is_left_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, _ = self.run(monkeypatch, {"ours": 1.0, "vlm": 1e-3})
        assert found["at_edge"] == ["ours"]


def test_the_scores_of_a_learner_are_measured_by_each_of_its_scorings() -> None:
    class Fixed:
        def scores(self, images: Any, texts: Any) -> dict[str, np.ndarray]:
            right = np.eye(3, dtype=np.float32)
            return {"": np.tile(np.array([3.0, 2.0, 1.0], dtype=np.float32), (3, 1)), "pmi": right}

        def captions(self, images: Any) -> dict[str, list[str]]:
            return {}

    images = Images([Path("a")] * 3, [("a",)] * 3, ["a", "b", "c"], np.eye(3, dtype=bool), ["a", "b", "c"])
    found = study.means(study.score(Fixed(), {"emoji": images}))  # type: ignore[arg-type]
    assert found["emoji/top1"] == pytest.approx(1 / 3)
    assert found["emoji/pmi/top1"] == found["emoji/pmi/to_text"] == 1.0


def test_stored_results_show_operations_with_and_without_the_encoder_and_the_caveats() -> None:
    result = json.loads((Path(__file__).parents[3] / "eval/results/comparison.json").read_text())
    text, cost = registry.tables("comparison", result), result["cost"]
    flops = cost["vlm"]["training_gflop_per_sample"]
    assert f"| {flops:.3f} | {flops + cost['x_encoder_gflop']:.3f} |" in text
    assert "## Caveats" in text
    assert "Both arms minus that ranking" in text


def test_the_ranking_without_looking_is_that_of_the_training_photos(tmp_path: Path) -> None:
    def row(number: int) -> dict[str, Any]:
        return {"image": "a.jpg", "text": ["a"], "source_id": f"coco:{number}", "concept": "a", "style": "photo"}

    (tmp_path / "photos").mkdir()
    write_rows(tmp_path / "photos/captions.train.jsonl", [row(1), row(2)])
    objects = [["person", "dog"], ["person"], ["cat"]]
    shown = [
        {"image": "a.jpg", "image_id": number, "split": "val2017", "objects": dict.fromkeys(names, 1)}
        for number, names in enumerate(objects, start=1)
    ]
    write_rows(tmp_path / "photos.jsonl", shown)
    truth_NC = np.array([[name in right for name in CLASSES] for right in (["person"], ["dog"], ["cat"])])
    test = Images([Path("a")] * 3, [("a",)] * 3, list(CLASSES), truth_NC, ["a"] * 3)
    assert constant_ranking(tmp_path, tmp_path, test) == {"top1": [1, 0, 0], "top5": [1, 1, 0]}


@pytest.mark.assets
def test_the_opponent_learns_images_by_heart_from_the_real_encoders_tokens(language_model: Path) -> None:
    config = load_preset("mini").x_encoder
    part = config.part.model_copy(update={"config": part_config(config.part)})
    encoder = XEncoder(config.model_copy(update={"part": part}))
    encoder.load_pretrained(part_folder(part))
    transform = ImageTransform(config.image)
    paths = sorted(IMAGES.glob("*.png"))[: len(SAID)]
    pixels = torch.stack([transform(open_image(path, max_pixels=10**7)) for path in paths]).unsqueeze(1)
    tokens_BND = encoder(pixels).tokens_BND
    vlm, tokenizer = built(language_model, width=tokens_BND.shape[2], tokens=tokens_BND.shape[1])
    ids, mask = tokenizer.encode(SAID, max_tokens=12)
    optimizer = torch.optim.AdamW(vlm.train().parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        vlm(tokens_BND, ids, mask).backward()
        optimizer.step()
    vlm.eval()
    assert tokenizer.decode(vlm.generate(tokens_BND, shift=False)) == list(SAID)
    # It reads the image: another image's tokens give that image's caption.
    assert tokenizer.decode(vlm.generate(tokens_BND.roll(1, dims=0), shift=False)) == [SAID[-1], *SAID[:-1]]
    best = vlm.log_likelihoods(tokens_BND, rows_of(tokenizer, SAID)).argmax(1)
    assert best.tolist() == list(range(len(SAID)))
