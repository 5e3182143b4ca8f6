"""Write the names of ImageNet's classes and their hypernyms: ``python recipes/mini/taxonomy.py``.

The file is ``vljepa/processing/imagenet_1k.tsv``, from WordNet 3.0 (Debian's ``wordnet-base``), in timm's order.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from recipes.mini.fetch import get
from recipes.mini.records import PrepareError

TARGET = Path(__file__).resolve().parents[2] / "vljepa" / "processing" / "imagenet_1k.tsv"
NO_WORDS = {
    "n00001740": "entity",
    "n00001930": "physical entity",
    "n00002137": "abstraction",
    "n00002452": "thing",
    "n00002684": "object",
    "n00003553": "whole",
    "n00004258": "living thing",
    "n00004475": "organism",
    "n00007347": "causal agent",
    "n00019128": "natural object",
    "n00020090": "substance",
    "n00020827": "matter",
    "n00021939": "artifact",
    "n00022903": "article",
    "n00024264": "attribute",
    "n00027167": "location",
    "n00031921": "relation",
    "n00033020": "communication",
    "n03129123": "creation",
    "n03575240": "instrumentality",
    "n06254669": "medium",
    "n15046900": "solid",
}
"""Hypernyms by which nobody would name what an image shows."""
Synset = tuple[list[str], list[str]]
"""Lemmas, and the ids of the direct hypernyms."""


def read_synsets(data_noun: Path) -> dict[str, Synset]:
    """Return the nouns of WordNet's ``data.noun`` by their ids, ``n`` and eight digits."""
    synsets = {}
    for line in data_noun.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):  # the licence
            continue
        fields = line.split(" | ")[0].split()
        count = int(fields[3], 16)
        lemmas = [lemma.replace("_", " ") for lemma in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        kinds, targets = pointers[0::4], pointers[1::4]
        hypernyms = ["n" + target for kind, target in zip(kinds, targets, strict=False) if kind in ("@", "@i")]
        synsets["n" + fields[0]] = (lemmas, hypernyms)
    return synsets


def read_licence(data_noun: Path) -> list[str]:
    """Return WordNet's licence, which must stay with all copies: the first lines of its files, without numbers."""
    lines = []
    for line in data_noun.read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            break
        lines.append(line.strip().partition(" ")[2].strip())
    return lines


def table(classes: list[str], synsets: dict[str, Synset]) -> Iterator[str]:
    """Yield a line for each class, in order, then one for each hypernym: id, lemmas, ids of the direct hypernyms."""
    waiting, seen = list(classes), set(classes)
    for one in waiting:
        lemmas, hypernyms = synsets[one]
        named = [other for other in hypernyms if other not in NO_WORDS]
        waiting += [other for other in named if other not in seen]
        seen.update(named)
        yield "\t".join([one, ", ".join(lemmas), " ".join(named)])


def main(arguments: list[str] | None = None) -> int:
    """Fetch, read, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--downloads", type=Path, default=Path("downloads"), help="where package files are or go")
    parser.add_argument("--out", type=Path, default=TARGET, help="file that is written")
    given = parser.parse_args(arguments)
    try:
        package = get("wordnet", downloads=given.downloads, cache=given.downloads / "unpacked", say=print)
    except PrepareError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    data_noun = package / "usr" / "share" / "wordnet" / "data.noun"
    order = files("timm.data").joinpath("_info/imagenet_synsets.txt").read_text(encoding="utf-8").split()
    licence = [f"# {line}".rstrip() for line in read_licence(data_noun)]
    about = ["# The 1,000 classes of ImageNet-1k in the classifier's order, then their hypernyms, from WordNet 3.0."]
    lines = [*about, *licence, *table(order, read_synsets(data_noun))]
    given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{given.out}: {len(order)} classes, {given.out.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
