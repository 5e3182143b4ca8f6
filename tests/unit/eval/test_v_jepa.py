"""The study of v_jepa: arms change what they say, shuffled clips keep their frames, the page says what was reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval import registry
from eval.studies import v_jepa
from tests.conftest import write_rows
from tests.trained_clips import write_clips
from vljepa.configs import VJEPAConfig
from vljepa.data.images import clip_images
from vljepa.training.probing import ProbeResult

ORDER = {"top1": 0.25}
ORIGIN = {
    "command": "python eval/run.py v_jepa",
    "commit": "0123456789abcdef",
    "date": "2026-12-01",
    "hardware": "a CPU",
}


@pytest.mark.parametrize("arm", list(v_jepa.ARMS))
def test_an_arm_changes_what_it_says_and_nothing_else(arm: str, tmp_path: Path) -> None:
    plain, run = (v_jepa.arm_recipe(one, 7, data=tmp_path, work=tmp_path / "work", seed=3) for one in ("V-JEPA", arm))
    assert run.train.steps == 7
    assert (run.train.seed, run.data.validation, run.optim) == (3, [], plain.optim)
    assert isinstance(run.model, VJEPAConfig)
    assert isinstance(plain.model, VJEPAConfig)
    same = run.model.model_copy(update={"target": plain.model.target})
    assert same == plain.model
    assert (run.model == plain.model) == (not v_jepa.ARMS[arm])
    assert (run.train.output == plain.train.output) == (arm == "V-JEPA")


def test_shuffled_clips_have_the_same_frames_in_another_order(tmp_path: Path) -> None:
    table = write_clips(tmp_path / "data", 6, frames=8)
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    table.unlink()
    write_rows(tmp_path / "data" / "motion.test.jsonl", rows)
    folder = v_jepa._shuffled(tmp_path / "data", tmp_path / "work", seed=0)
    written = [json.loads(line) for line in (folder / "motion.test.jsonl").read_text().splitlines()]
    assert written == rows
    moved = 0
    for row in rows:
        one, other = (
            [np.asarray(frame) for frame in clip_images(v_jepa._clip(place, row), view=0, max_pixels=10**6)]
            for place in (tmp_path / "data", folder)
        )
        assert sorted(frame.tobytes() for frame in one) == sorted(frame.tobytes() for frame in other)
        moved += not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert moved == 6


def found(accuracy: float = 0.5) -> ProbeResult:
    classes = ["left fast", "left slow", "right fast", "right slow"]
    confusion = [[3, 1, 0, 0], [0, 2, 0, 2], [0, 0, 4, 0], [1, 0, 0, 3]]
    return ProbeResult(
        encoder="x", head="attentive", classes=classes, train=9, validation=4, validation_accuracy=0.5, test=16,
        accuracy=accuracy, low=0.3, high=0.7, chosen={"lr": 0.1}, chosen_on_test=False, confusion=confusion,
    )  # fmt: skip


def test_direction_and_speed_are_counted_each_by_itself() -> None:
    figures = v_jepa.figures(found())
    assert figures["first word"] == pytest.approx(13 / 16)
    assert figures["second word"] == pytest.approx(14 / 16)
    assert figures["top1"] == {"mean": 0.5, "low": 0.3, "high": 0.7}


@pytest.mark.parametrize(("best", "says"), [(0.9, "+50.0 points above random"), (0.5, "+10.0 points above random")])
def test_the_page_has_the_arms_and_says_whether_the_aim_was_reached(best: float, says: str) -> None:
    def row(accuracy: float, steps: int) -> dict[str, Any]:
        return {"steps": steps, "probes": {"linear probe": {"motion": v_jepa.figures(found(accuracy)), "order": ORDER}}}

    arms = {"V-JEPA": row(best, 3000), "pixel MAE": row(0.3, 960), v_jepa.RANDOM: row(0.4, 0)}
    panel = {"V-JEPA": {"std": 0.8, "effective_rank": 20.0, "first loss": 0.7, "last loss": None}}
    result = {
        **ORIGIN, "arms": arms, "panel": panel, "frames": 8, "metrics": {},
        "probe": {"train": 1500, "grid": 4},
        "encoder": {"width": 64, "depth": 4, "batch_size": 16},
        "chance": {"motion": {"top1": 1 / 12}, "order": {"top1": 0.25}},
    }  # fmt: skip
    text = registry.tables("v_jepa", result)
    assert text is not None
    assert f"| V-JEPA | 3,000 | {100 * best:.1f} [30.0, 70.0] | 25.0 | 81.2 | 87.5 |" in text
    assert (
        "| encoder | steps | direction and speed | which side first | direction (of 4) | speed (of 3) |\n|---|---:|"
        in text
    )
    assert "| V-JEPA | 0.80 | 20.0 | 0.70 |  |" in text
    assert says in text
    assert (": reached." in text) == (best == 0.9)
