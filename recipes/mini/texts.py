"""Write captions that name the X-Encoder's classes: ``python recipes/mini/texts.py data/mini``, after prepare.py.

``text/named.train.jsonl`` has real captions with another noun, ``text/written.train.jsonl`` those of a language model
for classes that few real captions have a noun for (a quarter of an hour on one core). What is there is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console
from rich.progress import Progress

from recipes.mini.build import TEXT_ONLY
from recipes.mini.named_texts import Substitution
from recipes.mini.records import write_jsonl
from recipes.mini.written_texts import WIDE, Writer, written_texts
from vljepa.errors import VLJEPAError
from vljepa.inference.embed import Embedder
from vljepa.processing.taxonomy import Taxonomy

NAMED, WRITTEN = "text/named.train.jsonl", "text/written.train.jsonl"


def main(arguments: list[str] | None = None) -> int:
    """Read the captions, write both files; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder that prepare.py has made")
    parser.add_argument("--model", default="mini", help="model whose Y-Encoder chooses among written captions")
    given = parser.parse_args(arguments)
    captions, console = given.data / TEXT_ONLY, Console(stderr=True)
    try:
        lines = captions.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        console.print(f"error: no captions in {captions}: {error}; run prepare.py first", markup=False)
        return 2
    taxonomy = Taxonomy.of("imagenet-1k")
    substitution = Substitution([json.loads(line) for line in lines], taxonomy)
    found = [substitution.texts(number) for number in range(len(taxonomy))]
    write_jsonl(given.data / NAMED, [row for rows, _ in found for row in rows])
    wide = [number for number, (_, width) in enumerate(found) if width >= WIDE]
    if (given.data / WRITTEN).is_file():
        return 0
    try:
        embedder, writer = Embedder.from_pretrained(given.model), Writer()
    except VLJEPAError as error:
        console.print(f"error: {error}", markup=False)
        return 2
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("writing captions", total=len(wide))
        rows = written_texts(
            wide, taxonomy, writer=writer, embed=embedder.texts, progress=lambda count: bar.advance(task, count)
        )
    write_jsonl(given.data / WRITTEN, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
