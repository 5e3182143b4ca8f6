"""`vljepa plan`: how often a world model reaches its goals, with a film and a page of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vljepa.cli.options import DeviceOption, JsonOption
from vljepa.cli.output import note, print_json, print_table, progress
from vljepa.cli.stream_files import check_outputs

if TYPE_CHECKING:
    from vljepa.planning.evaluate import Evaluation
    from vljepa.planning.film import EpisodeFilm
    from vljepa.planning.rooms import PlanSettings


def plan(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder of `vljepa train`, or simulator, straight_line or random.")
    ],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Worlds of each seed.")] = 100,
    seed: Annotated[list[int] | None, typer.Option("--seed", help="Of worlds and samples; may be repeated.")] = None,
    walls: Annotated[str, typer.Option("--walls", help="random, another in every world, or fixed.")] = "random",
    budget: Annotated[int, typer.Option("--budget", min=1, help="Steps of an episode.")] = 200,
    solver: Annotated[str, typer.Option("--solver", help="cem or mppi.")] = "cem",
    samples: Annotated[int, typer.Option("--samples", min=2, help="Plans that are tried in each round.")] = 300,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Rounds of a plan.")] = 5,
    elites: Annotated[int, typer.Option("--elites", min=2, help="Of cem: samples that make the next round.")] = 10,
    horizon: Annotated[int, typer.Option("--horizon", min=1, help="Steps that are planned.")] = 90,
    hold: Annotated[int, typer.Option("--hold", min=1, help="Steps that a planned action lasts.")] = 15,
    execute: Annotated[int, typer.Option("--execute", min=1, help="Steps done before the next plan.")] = 15,
    gif: Annotated[Path | None, typer.Option("--gif", metavar="FILE", help="Write a film of four episodes.")] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with film and rates.")
    ] = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Plan in Two Rooms with a trained world model, and count how often the goal is reached.

    A dot has to get through a door into the other room, to where a picture shows it. The model sees pictures alone.
    simulator plans with the world itself and the straight distance; straight_line and random plan nothing.
    It needs the extra `planning`.

    Example: vljepa plan runs/two_rooms/best --seed 0 --seed 1 --seed 2 --gif rooms.gif --html rooms.html
    Example: vljepa plan simulator --episodes 20 --json
    """
    from vljepa.extras import require_extra

    require_extra("planning", "gymnasium", user="vljepa plan")
    from vljepa.planning.film import EpisodeFilm
    from vljepa.planning.rooms import PlanSettings
    from vljepa.planning.rooms import plan as run

    check_outputs({"gif": None if gif is None else str(gif), "html": None if html is None else str(html)})
    settings = PlanSettings(
        walls=walls,  # type: ignore[arg-type]  # refused there
        episodes=episodes,
        seeds=tuple(seed or [0]),
        budget=budget,
        solver=solver,  # type: ignore[arg-type]  # refused there
        samples=samples,
        rounds=rounds,
        elites=elites,
        horizon=horizon,
        hold=hold,
        execute=execute,
    )
    films: list[EpisodeFilm] = []

    def film(worlds: Any, energies: Any) -> EpisodeFilm:
        films.append(EpisodeFilm(worlds, energies))
        return films[0]

    with progress("steps", total=budget * len(settings.seeds)) as advance:
        found = run(model, settings, device=device, progress=lambda _: advance(1), film=film if gif or html else None)
    if gif is not None:
        films[0].save(gif)
        note(f"film: {gif}")
    if html is not None:
        _write_page(html, model, found, settings, films[0])
        note(f"page: {html}")
    if json:
        print_json(_as_json(model, found, settings))
        return
    print_table(columns=(f"plans of {model}", "value"), rows=_rows(found, settings))


def _as_json(model: str, found: Evaluation, settings: PlanSettings) -> dict[str, Any]:
    low, high = found.interval
    return {
        "model": model,
        "success": found.success,
        "low": low,
        "high": high,
        "by_seed": found.reached_SB.mean(1).tolist(),
        "steps": float(found.steps_SB[found.reached_SB].mean()) if found.reached_SB.any() else None,
        "settings": settings.as_dict(),
    }


def _rows(found: Evaluation, settings: PlanSettings) -> list[tuple[str, str]]:
    low, high = found.interval
    by_seed = ", ".join(f"{100 * one:.0f}%" for one in found.reached_SB.mean(1))
    steps = f"{found.steps_SB[found.reached_SB].mean():.0f}" if found.reached_SB.any() else "none was"
    made = f"{settings.solver}, {settings.rounds} rounds of {settings.samples}"
    return [
        ("goals reached", f"{100 * found.success:.1f}% ({100 * low:.1f} to {100 * high:.1f})"),
        ("by seed", f"{by_seed} (seeds {', '.join(map(str, settings.seeds))}, {settings.episodes} episodes each)"),
        ("steps to a goal that was reached", steps),
        ("worlds", f"Two Rooms, {settings.walls} walls, goals in the other room, {settings.budget} steps at most"),
        (
            "planner",
            f"{made}; {settings.horizon} steps ahead, an action lasts {settings.hold}, {settings.execute} done",
        ),
    ]


def _write_page(file: Path, model: str, found: Evaluation, settings: PlanSettings, film: EpisodeFilm) -> None:
    import base64
    import tempfile

    from vljepa.inference.page import escaped, render_page, write_page

    with tempfile.TemporaryDirectory() as folder:
        film.save(Path(folder) / "film.gif")
        encoded = base64.b64encode((Path(folder) / "film.gif").read_bytes()).decode("ascii")
    seen = "what is seen, the goal" + (
        ", and how far the model takes each place to be from it (blue is near)" if film.maps else ""
    )
    (_, rate), *rows = _rows(found, settings)
    page = render_page(
        "plan_report.html",
        title=escaped(f"Two Rooms by {model}"),
        about=f"The film has the first episodes: {seen}.",
        rate=f"{100 * found.success:.1f}%",
        interval=f"of {found.reached_SB.size} goals reached; 95% interval {escaped(rate.partition(' ')[2])}",
        film=f'<img class="film" src="data:image/gif;base64,{encoded}" alt="Episodes">',
        rows="\n".join(f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows),
        footer="Made by <code>vljepa plan</code>.",
    )
    write_page(file, page)
