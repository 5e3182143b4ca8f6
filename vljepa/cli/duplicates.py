"""`vljepa index --duplicates`: groups of images of an index that look the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa.cli.output import note, note_skipped, print_heading, print_table, progress

if TYPE_CHECKING:
    from vljepa.data.records import Visual
    from vljepa.inference.index import DuplicateGroup, Index


def find_groups(
    index: Index, folder: Path, *, bits: int | None, stored: Mapping[str, Visual] | None = None
) -> list[DuplicateGroup]:
    """Find them, and say what could not be looked at.

    Raises:
        DataError: None of the images is there.
    """
    from vljepa.inference.index import near_duplicates

    images = index.entries.count_media().images
    options: dict[str, Any] = {} if bits is None else {"bits": bits}
    with progress("comparing images", total=images) as advance:
        groups, broken = near_duplicates(index.entries, folder, stored=stored, progress=advance, **options)
    note_skipped(list(broken.items()), total=images)
    return groups


def groups_as_json(groups: Sequence[DuplicateGroup]) -> list[dict[str, Any]]:
    """As JSON values."""
    return [
        {
            "path": one.path,
            "duplicates": [{"path": two.path, "cosine": two.cosine, "bits": two.bits} for two in one.duplicates],
        }
        for one in groups
    ]


def print_groups(groups: Sequence[DuplicateGroup], *, folder: Path) -> None:
    """A table: the first of a group is its largest file."""
    more = sum(len(one.duplicates) for one in groups)
    rows: list[list[str]] = []
    for number, group in enumerate(groups, start=1):
        rows.append([str(number), group.path, "", ""])
        rows += [["", one.path, _bits(one.bits), f"{one.cosine:.3f}"] for one in group.duplicates]
    print_heading(
        f"{len(groups)} group{'' if len(groups) == 1 else 's'} of near duplicates in {folder}: {more} file"
        f"{'' if more == 1 else 's'} beside the largest of each"
    )
    if rows:
        print_table(columns=["", "file", "bits", "score"], rows=rows)


def write_sheet(html: Path, groups: Sequence[DuplicateGroup], *, folder: Path, max_pixels: int) -> None:
    """A page with a picture of each, group by group.

    Raises:
        DataError: The page cannot be written.
    """
    from vljepa.inference.contact_sheet import write_contact_sheet
    from vljepa.inference.index import Hit

    hits, numbers = list[Hit](), list[str]()
    for number, group in enumerate(groups, start=1):
        hits += [Hit(path=group.path, score=1.0), *(Hit(path=o.path, score=o.cosine) for o in group.duplicates)]
        numbers += [f"{number} (largest)", *[str(number)] * len(group.duplicates)]
    lacking = write_contact_sheet(
        html,
        query="Near duplicates",
        hits=hits,
        numbers=numbers,
        folder=folder,
        about=f"{len(groups)} groups in {folder}, by number; the score is the cosine with the group's largest file",
        max_pixels=max_pixels,
        made_by="vljepa index --duplicates",
    )
    for reason in lacking:
        note(f"no image in {html} of {reason}")


def _bits(bits: int | None) -> str:
    return "same content" if bits is None else f"{bits} of 64"
