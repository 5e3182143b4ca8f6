"""`vljepa data`: looking at data before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vljepa.cli.choosing import listed
from vljepa.cli.options import JsonOption
from vljepa.cli.output import note, note_skipped, print_heading, print_json, print_table

if TYPE_CHECKING:
    from vljepa.data.overlap import Overlap
    from vljepa.data.report import DataReport

app = typer.Typer(help="Data for training: look before you train.", no_args_is_help=True)

BROKEN = 1
FOUND = 1
_COUNTED = {"exact": "images", "near": "images", "source_id": "source_ids", "text": "texts"}

_LONGEST = 300
"""Characters of a sample's texts that are shown."""


@app.command("check")
def check(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A file, a folder, a tar, hf:NAME:SPLIT, https://host/{000..123}.tar.")
    ],
    root: Annotated[Path | None, typer.Option("--root", help="Folder that paths of images are relative to.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Which split, where there are several; else that for training.")
    ] = None,
    validation: Annotated[str | None, typer.Option("--validation", help="Data that must not overlap.")] = None,
    candidates: Annotated[
        Path | None,
        typer.Option("--candidates", help="A file with an answer per line that all validation questions choose from."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Open no more images than this.")] = None,
    json: JsonOption = False,
) -> None:
    """Say what data is, show three samples, open its images, and print the command that trains on it.

    Reads CSV, TSV, JSONL, Parquet and parts of these, JSON of COCO, Karpathy, VQA and LLaVA, token files of Flickr,
    folders of classes, with a .txt beside each image, or with such a file, WebDataset tars and datasets of Hugging
    Face. Of shards behind an address it fetches the first and looks at that. The exit code is 1 if some image or text
    cannot be used, or an image is in the validation data too.

    Example: vljepa data check my_images
    """
    from vljepa.configs import load_preset
    from vljepa.data.checking import check_data

    max_pixels = load_preset("mini").x_encoder.image.max_pixels
    report = check_data(
        path,
        root=root,
        split=split,
        validation=validation,
        candidates=None if candidates is None else listed(None, candidates, option="--candidates", verb="data check"),
        max_pixels=max_pixels,
        limit=limit,
    )
    if json:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.broken or report.skipped or report.overlap or report.same_ids:
        raise typer.Exit(BROKEN)


@app.command("overlap")
def overlap(
    train: Annotated[str, typer.Argument(metavar="TRAIN", help="Training data, as for `data check`.")],
    test: Annotated[str, typer.Argument(metavar="TEST", help="Test data; a folder of images will do for both.")],
    train_root: Annotated[
        Path | None, typer.Option("--train-root", help="Folder that paths of training images are relative to.")
    ] = None,
    test_root: Annotated[
        Path | None, typer.Option("--test-root", help="Folder that paths of test images are relative to.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Say which test images and texts are in the training data too.

    Images are exact with the same bytes, and near when they look the same: saved again, scaled, re-encoded. Cropped,
    mirrored or turned copies are not found. Texts are compared in lower case without closing punctuation; under a
    question, question and answer together. The exit code is 1 if anything was found, 0 if nothing was.

    Example: vljepa data overlap train.jsonl test.jsonl
    """
    from vljepa.data.overlap import find_overlap, read_records

    held_out = read_records(test, root=test_root)  # the smaller one first: what is wrong with it is said at once
    found = find_overlap(read_records(train, root=train_root), held_out)
    if json:
        print_json(found.as_dict())
    else:
        _print_overlap(found)
    if found.found:
        raise typer.Exit(FOUND)


def _print_overlap(found: Overlap) -> None:
    names = {
        "exact": "images with the same bytes",
        "near": "other images that look the same",
        "source_id": "identities of images",
        "text": "texts, or questions with their answers",
    }
    rows = [
        (name, f"{found.train[_COUNTED[key]]:,}", f"{found.test[_COUNTED[key]]:,}", f"{found.counts()[key]:,}")
        for key, name in names.items()
    ]
    print_table(columns=("what", "in training", "in the test", "in both"), rows=rows)
    for key, pairs in found.examples.items():
        for of_test, of_train in pairs:
            print_heading(f"{key}: {of_test}  ~  {of_train}")
        if found.counts()[key] > len(pairs):
            print_heading(f"{key}: and {found.counts()[key] - len(pairs):,} more")
    for where, count in found.unreadable.items():
        if count:
            note(f"{count:,} {where} images cannot be read and were not compared")


def _print(report: DataReport) -> None:
    print_heading(f"{report.place}: {report.kind}")
    if report.shards is not None:
        note(
            f"the first of {report.shards:,} shards; training fetches one after the other, and a run that was "
            "stopped goes on in the shard that it had in hand"
        )
    mapped = ", ".join(f"{meaning} = {column}" for meaning, column in report.columns.items())
    rows = [
        *([("split", report.split)] if report.split is not None else []),
        ("columns", mapped),
        *([("columns that are not read", ", ".join(report.unused))] if report.unused else []),
        ("rows", f"{report.rows:,}"),
        ("different images", f"{report.images:,}"),
        ("different texts", f"{report.texts:,}"),
        ("rows with a question", f"{report.queries:,}"),
        ("the same image under another name", f"{report.same_images:,}"),
        ("the same row again", f"{report.same_rows:,}"),
        ("unreadable images", f"{len(report.broken):,} of {report.opened:,} opened"),
        ("rows without a usable text", f"{len(report.skipped):,} of {report.rows + len(report.skipped):,}"),
        ("validation", report.validation or "none"),
        ("validation images that are in it too", "-" if report.overlap is None else f"{report.overlap:,}"),
        ("others with the source_id of one in it", "-" if report.same_ids is None else f"{report.same_ids:,}"),
    ]
    print_table(columns=("what", "found"), rows=rows)
    if report.blind:
        told = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in report.blind.items())
        print_heading(f"right without looking at the image: {told}")
    for sample in report.samples:
        texts = " | ".join(sample["text"])
        if len(texts) > _LONGEST:
            texts = f"{texts[:_LONGEST]}... ({len(texts):,} characters)"
        asked = f"  {sample['query']}" if "query" in sample else ""
        print_heading(f"{sample['image']}{asked}  ->  {texts}")
    note_skipped(list(report.broken.items()), total=report.opened)
    note_skipped(list(report.skipped.items()), total=report.rows + len(report.skipped), what="rows")
    for passed in report.passed_over:
        note(f"passed over {passed}")
    for remark in report.notes:
        note(remark)
    if report.validation is None:
        note("without validation data, the last weights are kept: put some images aside into a validation.csv")
    print_heading(f"\n{report.command}".lstrip())
