"""Questions about emoji whose answers follow from their names, groups and pixels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from recipes.mini.colours import COLOURS, measured_colour, named_colour
from recipes.mini.emoji import Emoji
from recipes.mini.kinds import ANIMALS, ARTICLES, FOODS, NO_CLEAR_NO, animal_of, food_of, kind_of
from recipes.mini.records import (
    Caption,
    Question,
    even_yes_no,
    limited,
    normalise,
    question,
    stable_key,
)

WHAT, KIND = "what is this?", "which kind of thing is this?"
ANIMAL, FOOD = "what sort of animal is it?", "what sort of food is it?"
COLOUR, MAIN_COLOUR = "what colour is it?", "which colour is most of the picture?"
CHOICES = 10
YES_LIMIT = 150
MIN_COLOURS = 3  # a noun is named in the question only when it comes in several colours


def what_questions(rows: Sequence[Caption]) -> list[Question]:
    """Ask what each image shows, among names of other concepts of the same split."""
    names = {row["concept"]: row["text"][0] for row in rows}
    result = []
    for row in rows:
        others = sorted(
            (name for concept, name in names.items() if normalise(name) != normalise(row["text"][0])),
            key=lambda name: stable_key("choices", row["source_id"], name),
        )
        choices = sorted(dict.fromkeys([row["text"][0], *others[: CHOICES - 1]]))
        result.append(question(row, WHAT, row["text"][0], choices, "what"))
    return result


def label_questions(
    rows: Sequence[Caption],
    owner: Mapping[str, Emoji],
    query: str,
    label: Callable[[Emoji], str],
    candidates: Sequence[str],
) -> list[Question]:
    """Ask ``query`` of every image whose emoji has a label; no answer more than twice as often as the middle one."""
    asked = [(row, label(owner[row["source_id"]])) for row in rows]
    result = [question(row, query, answer, candidates, "kind") for row, answer in asked if answer]
    return even_answers(result)


def even_answers(rows: Sequence[Question]) -> list[Question]:
    """Cap each answer of a query at twice the query's median count, so that no answer is a safe guess."""
    result = []
    for query in dict.fromkeys(row["query"] for row in rows):
        asked = [row for row in rows if row["query"] == query]
        counts = sorted(Counter(row["text"][0] for row in asked).values())
        result += limited(asked, 2 * counts[len(counts) // 2])
    return result


def yes_no_questions(rows: Sequence[Caption], owner: Mapping[str, Emoji]) -> list[Question]:
    """Ask "is this an animal?" of as many animals as other things, for every kind."""
    result = []
    for kind, words in ARTICLES.items():
        yes = [row for row in rows if kind_of(owner[row["source_id"]]) == kind]
        # A thing without a kind may still be one ("monkey face" is an animal to most): it is no clear "no".
        unclear = {"", kind, *NO_CLEAR_NO.get(kind, ())}
        no = [row for row in rows if kind_of(owner[row["source_id"]]) not in unclear]
        result += even_yes_no(f"is this {words}?", yes, no, YES_LIMIT)
    return result


def nouns_in_many_colours(emojis: Sequence[Emoji]) -> frozenset[str]:
    """Return the nouns that come in at least three colours, such as "heart": naming one gives no colour away."""
    colours: defaultdict[str, set[str]] = defaultdict(set)
    for emoji in emojis:
        if found := named_colour(emoji.name):
            colours[found[1]].add(found[0])
    return frozenset(noun for noun, seen in colours.items() if len(seen) >= MIN_COLOURS)


def colour_questions(rows: Sequence[Caption], owner: Mapping[str, Emoji], nouns: frozenset[str]) -> list[Question]:
    """Ask the colour that the name states, and the colour of images that are mostly of one colour."""
    result = []
    for row in rows:
        emoji = owner[row["source_id"]]
        found = named_colour(emoji.name)
        if found:
            query = f"what colour is the {found[1]}?" if found[1] in nouns else COLOUR
            result.append(question(row, query, found[0], COLOURS, "colour"))
        if colour := measured_colour(emoji.images[row["style"]]):
            result.append(question(row, MAIN_COLOUR, colour, COLOURS, "colour"))
    return even_answers(result)


def questions(
    rows: Sequence[Caption], owner: Mapping[str, Emoji], nouns: frozenset[str], kinds: Sequence[str]
) -> list[Question]:
    """Return every question about the images of one split."""
    result = what_questions(rows)
    result += label_questions(rows, owner, KIND, kind_of, kinds)
    result += label_questions(rows, owner, ANIMAL, animal_of, sorted(set(ANIMALS.values())))
    result += label_questions(rows, owner, FOOD, food_of, sorted(set(FOODS.values())))
    result += yes_no_questions(rows, owner)
    result += colour_questions(rows, owner, nouns)
    return result
