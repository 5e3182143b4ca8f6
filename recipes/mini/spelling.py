"""Take slips of the pen out of a lexicon: ``python recipes/mini/spelling.py DECODER --data DATA --words FILE``.

Captions by hyponyms repeat the slips of the caption that they are made of, so a slip can stand in many texts. A word
goes if all its texts are of one image and no dictionary has it, such as Debian's wamerican-large (SCOWL).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from vljepa.configs import load_decoder_run_config
from vljepa.parts.saved import LEXICON_FILE, read_lines, write_lines
from vljepa.processing.taxonomy import Taxonomy
from vljepa.processing.words import words_of
from vljepa.training.decoder_texts import read_texts


def main(arguments: list[str] | None = None) -> int:
    """Rewrite lexicon.txt."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("decoder", type=Path, help="folder of the decoder")
    parser.add_argument("--data", type=Path, required=True, help="folder that prepare.py has made")
    parser.add_argument("--words", type=Path, required=True, help="dictionary: one word per line")
    given = parser.parse_args(arguments)
    run = load_decoder_run_config("recipes/mini_decoder.yaml", [f"data.root={given.data}"])
    images: defaultdict[str, set[str]] = defaultdict(set)
    for record in (record for source in read_texts(run.data)[0] for record in source):
        for word in {word for text in record.texts for word in words_of(text)}:
            images[word].add(record.source_id)
    dictionary = {word.strip().lower() for word in given.words.read_text(encoding="utf-8").splitlines()}
    names = {word for name in Taxonomy.of("imagenet-1k").every_name() for word in words_of(name)}
    lexicon = read_lines(given.decoder / LEXICON_FILE)
    slips = slips_of(lexicon, images, dictionary | names)
    write_lines([word for word in lexicon if word not in slips], given.decoder / LEXICON_FILE)
    print(f"{len(slips)} of {len(lexicon)} words taken out: {', '.join(sorted(slips))}")
    return 0


def slips_of(lexicon: Collection[str], images: Mapping[str, Collection[str]], dictionary: Collection[str]) -> set[str]:
    """Words that stand with one image alone and that no dictionary has, nor their parts or their singular."""
    return {word for word in lexicon if len(images.get(word, ())) < 2 and not is_word(word, dictionary)}


def is_word(word: str, dictionary: Collection[str]) -> bool:
    """Whether a dictionary has a word, all parts of a compound, or the singular of a regular plural.

    Example:
        >>> [is_word(word, {"eight", "spoked", "stupa"}) for word in ("eight-spoked", "stupas", "fristbee", "32nd")]
        [True, True, False, True]
    """
    if word in dictionary or word.removesuffix("s") in dictionary or word.removesuffix("es") in dictionary:
        return True
    parts = [part for part in re.split(r"[-']", word) if part]
    return all(part in dictionary or part[0].isdigit() for part in parts)


if __name__ == "__main__":
    raise SystemExit(main())
