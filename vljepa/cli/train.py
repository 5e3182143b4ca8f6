"""`vljepa train`: run a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, print_json, print_table
from vljepa.cli.recipe import Overrides, Recipe, find_recipe

if TYPE_CHECKING:
    from vljepa.configs import RunConfig


def train(
    recipe: Recipe,
    overrides: Overrides = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the run into training.png at the end.")] = False,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda or cuda:1; else what is there.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and print the plan, no more.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a model as a recipe says, from its newest checkpoint if there is one; stages one after the other.

    SIGTERM, Ctrl-C and SIGUSR1 end it after the step at hand, saved; exit code 75, and the same command goes on.

    Example: vljepa train recipes/mini.yaml optim.lr=1e-4 train.output=runs/small
    """
    from vljepa.configs import is_staged_recipe, load_run_config, load_stages

    path = find_recipe(recipe)
    if is_staged_recipe(path):
        stages = load_stages(path, overrides or ())
    else:
        stages = {path.stem: load_run_config(path, overrides or ())}
    if dry_run:
        _print_plans(stages, json=json)
        return
    if plot:
        from vljepa.training.plot import require_matplotlib

        require_matplotlib()  # before the hours of training, not after
    from vljepa.training.agreement import leaving_processes
    from vljepa.training.stages import train_stages

    with leaving_processes():
        result = train_stages(stages, device=device)
    if plot:
        from vljepa.training.plot import plot_run

        for run in stages.values():
            note(f"drawn: {plot_run(run.train.output)}")
    if json:
        print_json(result.as_dict())
        return
    rows = [(name, f"{value:.4f}") for name, value in result.metrics.items()]
    if rows:
        print_table(columns=("validation metric", "best"), rows=rows)
    note(f"the model is in {result.model_folder}")


def _print_plans(stages: Mapping[str, RunConfig], *, json: bool) -> None:
    from vljepa.training.plan import plan_run

    plans = {name: plan_run(run) for name, run in stages.items()}
    if json:
        print_json({name: plan.as_dict() for name, plan in plans.items()})
        return
    columns = ("stage", "rows", "frames", "steps", "batch", "samples", "lr", "trained parameters")
    rows = [
        (
            name,
            _count(plan.rows),
            str(plan.frames),
            _count(plan.steps),
            _count(plan.batch_size),
            _count(plan.samples),
            f"{plan.lr:g} {plan.schedule}",
            _count(plan.trained),
        )
        for name, plan in plans.items()
    ]
    print_table(columns=columns, rows=rows)
    for file in dict.fromkeys(file for plan in plans.values() for file in plan.missing):
        note(f"not there yet: {file}")
    for problem in dict.fromkeys(plan.parts for plan in plans.values() if plan.parts):
        note(f"the model could not be looked at: {problem}")
    note("nothing was trained")


def _count(number: int | None) -> str:
    return "?" if number is None else f"{number:,}"
