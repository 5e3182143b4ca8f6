"""`vljepa assets`: what is pinned, what is fetched, and whether it is still whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import print_json
from vljepa.errors import AssetError

app = typer.Typer(help="Pretrained parts: list, fetch and verify.", no_args_is_help=True)


@app.command("list")
def list_assets(as_json: JsonOption = False) -> None:
    """List every known pretrained part and whether it is in the cache."""
    from rich.console import Console
    from rich.table import Table

    from vljepa.parts.manifest import ASSETS
    from vljepa.parts.store import assets_root

    rows = [_row(name) for name in ASSETS]
    if as_json:
        print_json(rows)
        return
    table = Table(caption=str(assets_root()), caption_justify="left")
    for column in ("name", "slots", "package", "download", "licence", "state"):
        justify: Literal["left", "right"] = "right" if column == "download" else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column == "name")
    for row in rows:
        package = f"{row['package']} {row['version']}"
        size = f"{row['download_bytes'] / 1e6:.0f} MB"
        table.add_row(row["name"], row["slots"], package, size, row["licence"], row["state"])
    Console().print(table)


@app.command("fetch")
def fetch_assets(
    names: Annotated[list[str] | None, typer.Argument(help="Asset names, or `all`; default: those of `mini`.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch pretrained parts with your own pip, verify them, and convert them once."""
    from vljepa.parts.fetch import fetch
    from vljepa.parts.progress import fetch_bar

    rows = []
    for name in _chosen(names or []):
        try:
            with fetch_bar() as bar:
                folder = fetch(name, progress=bar, force=force)
        except KeyboardInterrupt:
            raise AssetError(
                f"fetching {name!r} was interrupted; nothing half-done was kept.", fix="run the same command again."
            ) from None
        rows.append({"name": name, "folder": str(folder)})
        if not as_json:
            typer.echo(f"{name}: {folder}")
    if as_json:
        print_json(rows)


@app.command("verify")
def verify_assets(
    names: Annotated[list[str] | None, typer.Argument(help="Asset names; default: all that are fetched.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hash every file of the fetched parts; exit code 2 when one is damaged."""
    from vljepa.parts.manifest import ASSETS
    from vljepa.parts.store import assets_root, verify

    chosen = _chosen(names) if names else [name for name in ASSETS if (assets_root() / name).exists()]
    damage = {name: verify(name) for name in chosen}
    if as_json:
        rows = {name: [{"file": d.file, "problem": d.problem} for d in found] for name, found in damage.items()}
        print_json(rows)
    elif not damage:
        typer.echo("nothing is fetched yet; run `vljepa assets fetch`.")
    else:
        for name, found in damage.items():
            typer.echo(f"{name}: {'damaged' if found else 'ok'}")
            for one in found:
                typer.echo(f"  {one.file} {one.problem}. Fix: run `vljepa assets fetch --force {name}`.")
    if any(damage.values()):
        raise typer.Exit(2)


def _chosen(names: list[str]) -> list[str]:
    """Names as asked for, each checked before anything is downloaded."""
    from vljepa.parts.manifest import ASSETS, MINI_ASSETS, get_asset

    if not names:
        return list(MINI_ASSETS)
    if names == ["all"]:
        return list(ASSETS)
    return [get_asset(name).name for name in names]


def _row(name: str) -> dict[str, Any]:
    from vljepa.parts.manifest import get_asset
    from vljepa.parts.store import assets_root, is_fetched

    asset = get_asset(name)
    folder = assets_root() / name
    state = "fetched" if is_fetched(name) else "damaged" if folder.exists() else "not fetched"
    return {
        "name": asset.name,
        "slots": asset.slots,
        "package": asset.package,
        "version": asset.version,
        "download_bytes": asset.wheel_size,
        "licence": asset.licence,
        "state": state,
        "folder": str(folder),
    }
