"""Two Rooms: how often plans of a world model reach their goal, beside what it should beat and what it cannot.

Arms are runs of one recipe; what is complete in the work folder is not trained again. All plan with the same planner
in the same worlds, which no run has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eval.core.console import log
from eval.core.result import Context, Result
from vljepa.checkpoint.eb_jepa import read_vector_world
from vljepa.configs import RunConfig, load_run_config
from vljepa.data.trajectories import Trajectories
from vljepa.data.worlds.two_rooms import REACH, SUCCESS
from vljepa.metrics.classification import accuracy_interval
from vljepa.planning.rooms import BASELINES, PlanSettings, plan
from vljepa.training.trainer import Trainer

RECIPE = Path("recipes/two_rooms.yaml")
MAIN, SHORT = "EB-JEPA", "EB-JEPA, fewer steps"
_ALONE = {"inverse_dynamics_steps": 0}
ARMS: dict[str, dict[str, Any]] = {
    MAIN: {},
    SHORT: {},
    "no inverse dynamics": _ALONE | {"losses": {"inverse_dynamics": 0.0}},
    "no variance": {"losses": {"variance": 0.0}},
    "no time similarity": {"losses": {"time_similarity": 0.0}},
    "random encoder": _ALONE | {"freeze_encoder": True},
}
"""Runs by name, and what they change of the recipe's model."""
PANEL = 256


def measure(
    context: Context,
    *,
    steps: Mapping[str, int],
    seeds: Mapping[str, Sequence[int]],
    plans: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Result:
    """Train the arms, and let all of them and the baselines plan.

    Args:
        context: The trajectories of `recipes/two_rooms/trajectories.py`; runs are in the work folder.
        steps: Arms by name with their number of steps.
        seeds: Of the worlds, by the name of an arm or a baseline, in this order.
        plans: Fields of `PlanSettings`.
        seed: Of the runs.
    """
    data, settings = context.found.folder, PlanSettings(**(plans or {}))
    rows: dict[str, dict[str, Any]] = {}
    panels: dict[str, dict[str, float]] = {}
    for name, of_worlds in seeds.items():
        place: str | Path = name
        if name not in BASELINES:
            run = arm_recipe(name, steps[name], data=data, work=context.work / "two_rooms", seed=seed)
            place = Trainer(run, device="cpu").fit().model_folder
            panels[name] = panel(place, data)
        found = plan(place, replace(settings, seeds=tuple(of_worlds)))
        low, high = found.interval
        rows[name] = {
            "steps": steps.get(name),
            "success": {"mean": found.success, "low": low, "high": high},
            "by_seed": found.reached_SB.mean(1).tolist(),
            "episodes": int(found.reached_SB.size),
            "way": float(found.steps_SB[found.reached_SB].mean()) if found.reached_SB.any() else None,
        }
        log(f"{name}: {100 * found.success:.1f}% of {found.reached_SB.size}")
    examined = len(Trajectories.open(data / "test"))
    return Result(
        rows=examined,
        pool=[{"test trajectories": examined}],
        prompt=None,
        seed=seed,
        more={"arms": rows, "panel": panels, "plans": settings.as_dict(), "reach": REACH, "near": SUCCESS},
    )


def arm_recipe(arm: str, steps: int, *, data: Path, work: Path, seed: int) -> RunConfig:
    """The recipe as an arm changes it; the last state is what plans."""
    raw = load_run_config(RECIPE).model_dump(mode="json")
    changes = dict(ARMS[arm])
    raw["model"]["losses"] |= changes.pop("losses", {})
    raw["model"] |= changes
    raw["data"]["root"] = str(data)
    name = arm.replace(" ", "_").replace(",", "")
    raw["train"] |= {"output": str(work / name), "steps": steps, "seed": seed}
    return RunConfig.model_validate(raw)


@torch.no_grad()
def panel(place: Path, data: Path) -> dict[str, float]:
    """What latents of test frames hold: share of the variance that a ridge regression tells from others' frames."""
    model, found = read_vector_world(place), Trajectories.open(data / "test")
    assert found.states is not None
    count = min(PANEL, len(found))
    latents_BTD = torch.cat([model.encode(model.frames(list(found.frames[row]))[None]) for row in range(count)])
    places_BT2 = torch.tensor(found.states[:count]).double()
    half = count // 2
    given, asked = (
        torch.cat([one.flatten(0, 1).double(), torch.ones(one.shape[0] * one.shape[1], 1)], dim=1)
        for one in (latents_BTD[:half], latents_BTD[half:])
    )
    known, wanted = places_BT2[:half].flatten(0, 1), places_BT2[half:].flatten(0, 1)
    weights = torch.linalg.solve(given.T @ given + 1e-2 * torch.eye(given.shape[1]), given.T @ known)
    left = ((asked @ weights - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    return {"position": float(1 - left), "std": float(latents_BTD.flatten(0, 1).std(0).mean())}


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """Titles of the rows, and whether the aim is reached."""
    titles = {
        "simulator": "the true simulator, straight distance",
        "straight_line": "straight towards the goal",
        "random": "random actions",
    }
    best = result["arms"][MAIN]["success"]["mean"]
    interval = accuracy_interval(round(best * result["arms"][MAIN]["episodes"]), result["arms"][MAIN]["episodes"])
    return {"titles": titles, "reached": best >= 0.95, "main": MAIN, "interval": interval}
