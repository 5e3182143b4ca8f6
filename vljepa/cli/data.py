"""`vljepa data`: looking at data before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, note_skipped, print_heading, print_json, print_table

if TYPE_CHECKING:
    from vljepa.data.checking import DataReport

app = typer.Typer(help="Data for training: look before you train.", no_args_is_help=True)

BROKEN = 1


@app.callback()
def _data() -> None:
    """Keeps `check` a verb of its own while it is the only one."""


@app.command("check")
def check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder, a tar, or hf:NAME:SPLIT.")],
    root: Annotated[Path | None, typer.Option("--root", help="Folder that paths of pictures are relative to.")] = None,
    validation: Annotated[str | None, typer.Option("--validation", help="Data that must not overlap.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Open no more pictures than this.")] = None,
    json: JsonOption = False,
) -> None:
    """Say what data is, show three samples, open its pictures, and print the command that trains on it.

    Reads CSV, TSV, JSONL, Parquet, COCO and VQA JSON, folders of classes or with such a file, WebDataset tars and
    data sets of Hugging Face. The exit code is 1 if some picture cannot be read, or is in the validation data too.

    Example: vljepa data check my_pictures
    """
    from vljepa.configs import load_preset
    from vljepa.data.checking import check_data

    max_pixels = load_preset("mini").x_encoder.image.max_pixels
    report = check_data(path, root=root, validation=validation, max_pixels=max_pixels, limit=limit)
    if json:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.broken or report.overlap:
        raise typer.Exit(BROKEN)


def _print(report: DataReport) -> None:
    print_heading(f"{report.place}: {report.kind}")
    mapped = ", ".join(f"{meaning} = {column}" for meaning, column in report.columns.items())
    rows = [
        ("columns", mapped),
        ("rows", f"{report.rows:,}"),
        ("different pictures", f"{report.pictures:,}"),
        ("different texts", f"{report.texts:,}"),
        ("rows with a question", f"{report.queries:,}"),
        ("the same picture under another name", f"{report.same_pictures:,}"),
        ("the same row again", f"{report.same_rows:,}"),
        ("unreadable pictures", f"{len(report.broken):,} of {report.opened:,} opened"),
        ("validation", report.validation or "none"),
        ("validation pictures that are in it too", "-" if report.overlap is None else f"{report.overlap:,}"),
    ]
    print_table(columns=("what", "found"), rows=rows)
    for sample in report.samples:
        texts = " | ".join(sample["text"])
        asked = f"  {sample['query']}" if "query" in sample else ""
        print_heading(f"{sample['picture']}{asked}  ->  {texts}")
    note_skipped(list(report.broken.items()), total=report.opened)
    if report.validation is None:
        note("without validation data, the last weights are kept: put some pictures aside into a validation.csv")
    print_heading(f"\n{report.command}".lstrip())
