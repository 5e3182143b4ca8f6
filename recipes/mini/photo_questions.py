"""Questions about photos whose answers follow from the objects counted in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from recipes.mini.photos import Photo
from recipes.mini.records import Caption, Question, even_yes_no, question, stable_key
from recipes.mini.word_lists import read_words

_WORDS = read_words("photo_questions")
NUMBERS: tuple[str, ...] = tuple(_WORDS["numbers"])
GROUPS = {group: tuple(members) for group, members in _WORDS["groups"].items()}
PLURALS: dict[str, str] = _WORDS["plurals"]
MASS: dict[str, str] = _WORDS["mass"]
NOT_COUNTED = frozenset(_WORDS["not_counted"])


def plural(thing: str) -> str:
    """Return the plural of an object name."""
    return PLURALS.get(thing, thing + "s")


def with_article(thing: str) -> str:
    """Return the object name as it stands in "is there ...?"."""
    return MASS.get(thing, ("an " if thing[0] in "aeiou" else "a ") + thing)


def is_there(rows: Sequence[Caption], objects: Mapping[str, dict[str, int]]) -> list[Question]:
    """Ask for every object as many photos that have it as photos that do not."""
    result = []
    for thing in sorted({name for row in rows for name in objects[row["source_id"]]}):
        yes = [row for row in rows if thing in objects[row["source_id"]]]
        no = [row for row in rows if thing not in objects[row["source_id"]]]
        result += even_yes_no(f"is there {with_article(thing)} in the photo?", yes, no)
    return result


def how_many(rows: Sequence[Caption], objects: Mapping[str, dict[str, int]]) -> list[Question]:
    """Ask counts from zero to five; zeros and ones are cut down to the number of twos, or they would be safe guesses.

    An object is asked for with zero only where it is asked for with another count as well.
    """
    asked: list[tuple[Caption, str, int]] = []
    for row in rows:
        for thing, count in sorted(objects[row["source_id"]].items()):
            if count <= 5 and thing not in NOT_COUNTED:
                asked.append((row, thing, count))
    sizes = Counter(count for _, _, count in asked)
    things = sorted({thing for _, thing, _ in asked})
    for row in rows:
        absent = [thing for thing in things if thing not in objects[row["source_id"]]]
        absent.sort(key=lambda thing: stable_key("absent", row["source_id"], thing))
        asked += [(row, thing, 0) for thing in absent[:2]]
    asked.sort(key=lambda item: stable_key("count", item[0]["source_id"], item[1]))
    kept: Counter[int] = Counter()
    result = []
    for row, thing, count in asked:
        kept[count] += 1
        if count > 1 or kept[count] <= sizes[2]:
            result.append(question(row, f"how many {plural(thing)} are there?", NUMBERS[count], NUMBERS, "count"))
    return result


def what_group(rows: Sequence[Caption], objects: Mapping[str, dict[str, int]]) -> list[Question]:
    """Ask "which animal is in the photo?" where exactly one kind of animal is, and the same for vehicles."""
    result = []
    for group, members in GROUPS.items():
        for row in rows:
            present = [name for name in members if name in objects[row["source_id"]]]
            if len(present) == 1:
                result.append(question(row, f"which {group} is in the photo?", present[0], members, "kind"))
    return result


def questions(rows: Sequence[Caption], photos: Sequence[Photo]) -> list[Question]:
    """Return every question about the photos of one split."""
    objects = {f"coco:{photo['image_id']}": photo["objects"] for photo in photos}
    return is_there(rows, objects) + how_many(rows, objects) + what_group(rows, objects)
