"""The bench of a step measures each setting in turns, and compares it with the plain one."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from eval.bench import step
from eval.bench.memory import count_peak_from_here, peak_mb, resident_mb
from vljepa.configs import RunConfig


def test_rows_are_medians_of_the_turns_beside_plain() -> None:
    def one(seconds: float, peak_mb: float) -> dict[str, object]:
        return {"seconds": seconds, "first_wall_seconds": 9.0, "peak_mb": peak_mb, "tokens": 10, "losses": [seconds]}

    turns = {"plain": [one(2, 100), one(9, 100), one(1, 100)], "other": [one(1, 50), one(1, 25), one(7, 60)]}
    plain, other = step.summary(turns, batch=48)
    assert (plain["seconds"], plain["seconds_ratio"], plain["turns"], plain["batch"]) == (2, 1.0, 3, 48)
    assert (other["seconds_ratio"], other["peak_mb_ratio"], other["losses"]) == (0.5, 0.5, [1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_peak_is_of_what_comes_after() -> None:
    """Pages of their own: what is freed otherwise may be kept by the allocator (`keep_freed_memory`)."""
    size = 64 << 20
    with mmap.mmap(-1, size) as held:
        held.write(b"x" * size)
        before = resident_mb()
    count_peak_from_here()
    assert peak_mb() < before - 32
    with mmap.mmap(-1, size) as held:
        held.write(b"x" * size)
        after = resident_mb()
    assert peak_mb() > after - 8


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_setting_is_measured_on_real_steps(monkeypatch: pytest.MonkeyPatch, make_run: object, tmp_path: Path) -> None:
    """Toy in place of mini: each step is timed, and the peak is taken before the save."""

    def toy(plan: step.Plan, folder: Path, *, batch: int, changes: dict[str, dict[str, object]]) -> RunConfig:
        settings = {"steps": plan.steps + step.WARM_UP, "batch_size": batch, "precision": "fp32", "eval_every": 100}
        run: RunConfig = make_run(str(folder / "run"), data={"validation": []}, train=settings, **changes)  # type: ignore[operator]
        return run

    monkeypatch.setattr(step, "recipe", toy)
    measured = step.measure_here("objective.grad_cache=32", 12, step.Plan("", "", steps=2))
    assert measured["tokens"] > 0
    assert measured["seconds"] > 0
    assert len(measured["losses"]) == 3
    assert measured.keys() >= set(step.MEASURED)
