"""Real animated emoji of held-out concepts: ``python recipes/mini/animations.py OUT --data data/mini``.

DATA is what ``prepare.py`` has written. Gets four packages through npm (730 MB), and copies the animations of the
concepts in the test split, with their names. They are MIT and only measured on. Exit code 2: something has to be put
right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console

from recipes.mini import fetch
from recipes.mini.clips import read_rows
from recipes.mini.emoji import code_key
from recipes.mini.records import PrepareError, write_jsonl


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("out", type=Path, help="folder to write to")
    result.add_argument("--data", type=Path, required=True, help="folder that prepare.py has written")
    result.add_argument("--downloads", type=Path, help="folder of package files to use and to keep (OUT/downloads)")
    return result


def names_of(data: Path) -> dict[str, str]:
    """Return code -> name of the emoji that the test split has, one per concept."""
    rows = read_rows(data / "emoji" / "captions.test.jsonl")
    return {code_key(Path(row["image"]).stem): row["text"][0] for row in rows}


def main(arguments: list[str] | None = None) -> int:
    """Fetch and copy; return the exit code."""
    given = parser().parse_args(arguments)
    downloads = given.downloads or given.out / "downloads"
    try:
        names = names_of(given.data)
        folders = [fetch.get(key, downloads=downloads, cache=downloads / "unpacked") for key in fetch.ANIMATED]
    except PrepareError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    rows = {}
    for folder in folders:
        for path in sorted((folder / "package" / "assets").glob("*.webp")):
            code = code_key(path.stem)
            if code in names:
                shutil.copyfile(path, given.out / f"{code}.webp")
                rows[code] = {"video": f"{code}.webp", "text": names[code]}
    write_jsonl(given.out / "animations.jsonl", [rows[code] for code in sorted(rows)])
    print(json.dumps({"animations": len(rows)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
