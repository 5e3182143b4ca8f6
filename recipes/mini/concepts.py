"""From the name of an emoji to its concept: what stays when gender, person and direction are taken away.

All drawings of one concept stand on one side of the split; otherwise "man firefighter" in training gives away
"woman firefighter" in the test.
"""

from __future__ import annotations

import re

from recipes.mini.records import ascii_text
from recipes.mini.word_lists import read_words

_WORDS = read_words("concepts")
PERSON_WORDS = frozenset(_WORDS["person_words"])
SPECIAL: dict[str, str] = _WORDS["special"]
GROUPED = tuple(_WORDS["grouped"])
GENDERED = re.compile(rf"\b({'|'.join(_WORDS['gendered'])})\b", re.IGNORECASE)


def dropped(label: str) -> bool:
    """Tell whether the emoji is a flag, a keycap or a bare skin tone, which take no part."""
    name = label.lower()
    return name.startswith(("flag:", "keycap", "regional indicator")) or name.endswith("skin tone")


def concept_of(label: str) -> str:
    """Return the concept of an emoji's name.

    >>> concept_of("woman firefighter"), concept_of("person walking: facing right"), concept_of("family: man, boy")
    ('firefighter', 'walking', 'family')
    """
    name = ascii_text(label).lower()
    name = re.sub(r"[:,]? ?(medium-light|medium-dark|light|medium|dark) skin tone", "", name)
    name = re.sub(r": facing right$", "", name)
    if name in SPECIAL:
        return SPECIAL[name]
    head, _, rest = name.partition(":")
    if rest and head in GROUPED:
        return head
    words = [word for word in name.replace(":", " ").split() if word not in PERSON_WORDS]
    return " ".join(words) or "person"


def clean_name(label: str) -> str:
    """Return the name as a person would say it: lower case, no colon.

    >>> clean_name("person: blond hair"), clean_name("woman: bald"), clean_name("person running: facing right")
    ('person with blond hair', 'bald woman', 'person running facing right')
    """
    name = ascii_text(label).lower().replace('"', "")
    head, _, rest = (part.strip() for part in name.partition(":"))
    if not rest:
        return name
    if rest == "facing right":
        return f"{head} {rest}"
    if rest == "bald":
        return f"bald {head}"
    if head in GROUPED:
        return f"{head} of {' and '.join(part.strip() for part in rest.split(','))}"
    return f"{head} with {rest}"


def is_gendered(label: str) -> bool:
    """Tell whether the name says a gender (the gender-free drawing is the concept's basic one)."""
    return bool(GENDERED.search(ascii_text(label)))
