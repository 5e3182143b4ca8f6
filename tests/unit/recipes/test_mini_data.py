"""The preparation of the mini model's data, on tiny made-up fixtures: no network, no packages."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from recipes.mini import overlap, photo_questions, photos, splitting
from recipes.mini.colours import measured_colour, named_colour
from recipes.mini.concepts import clean_name, concept_of, dropped, is_gendered
from recipes.mini.emoji import STYLES, Emoji, by_concept, captions, held_out_texts
from recipes.mini.emoji_questions import nouns_in_many_colours, questions
from recipes.mini.records import (
    SPLITS,
    Caption,
    PrepareError,
    Split,
    check_questions,
)
from recipes.mini.report import guess_by_query


def caption(number: int, text: str = "a thing", image: str = "") -> Caption:
    return Caption(
        image=image or f"images/{number}.png",
        text=[text],
        source_id=f"test:{number}",
        concept=text,
        style="test",
        license="MIT",
    )


def draw(path: Path, seed: int, size: int = 64, colour: str | None = None) -> Path:
    """Draw a few random shapes; the same seed draws the same image."""
    chance = random.Random(seed)
    image = Image.new("RGB", (size, size), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chance.random() * size * 0.7, chance.random() * size * 0.7
        box = (x, y, x + size * (0.1 + 0.3 * chance.random()), y + size * (0.1 + 0.3 * chance.random()))
        fill = colour or (chance.randrange(200), chance.randrange(200), chance.randrange(200))
        (pen.ellipse if chance.random() < 0.5 else pen.rectangle)(box, fill=fill)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


class TestConcepts:
    @pytest.mark.parametrize(
        ("label", "concept"),
        [
            ("man firefighter", "firefighter"),
            ("woman firefighter", "firefighter"),
            ("firefighter", "firefighter"),
            ("firefighter: medium-dark skin tone", "firefighter"),
            ("person: blond hair", "blond hair"),
            ("woman: blond hair", "blond hair"),
            ("person walking: facing right", "walking"),
            ("man walking", "walking"),
            ("family: man, woman, girl, boy", "family"),
            ("kiss: woman, man", "kiss"),
            ("prince", "royal"),
            ("person with crown", "royal"),
            ("mermaid", "merperson"),
            ("Mrs. Claus", "claus"),
            ("man", "person"),
            ("girl", "child"),
            ("woman and man holding hands", "holding hands"),
            ("men\u2019s room", "toilet sign"),
            ("red apple", "red apple"),
            ("fork and knife", "fork and knife"),
        ],
    )
    def test_gender_person_and_direction_go(self, label: str, concept: str) -> None:
        assert concept_of(label) == concept

    def test_flags_keycaps_and_skin_tones_take_no_part(self) -> None:
        assert all(dropped(label) for label in ("flag: Egypt", "keycap: #", "light skin tone", "regional indicator A"))
        assert not dropped("red apple")

    def test_names_read_as_a_person_would_say_them(self) -> None:
        assert clean_name("woman: bald") == "bald woman"
        assert clean_name("Japanese \u201chere\u201d button") == "japanese here button"
        assert clean_name("pi\u00f1ata") == "pinata"

    def test_the_basic_drawing_says_no_gender(self) -> None:
        assert is_gendered("woman dancing")
        assert not is_gendered("person dancing")
        assert not is_gendered("human foot")


class TestSplits:
    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_committed_files_are_what_the_function_makes(self, seed: int) -> None:
        committed = splitting.read_split(f"emoji_{seed}")
        every = [concept for split in SPLITS for concept in committed[split]]
        random.Random(seed).shuffle(every)
        assert splitting.split_concepts(every, seed) == committed
        assert len(committed["test"]) == 209
        assert len(committed["validation"]) == 150
        splitting.lookup(committed)

    def test_the_three_splits_differ_and_have_the_same_concepts(self) -> None:
        parts = [splitting.read_split(f"emoji_{seed}") for seed in (0, 1, 2)]
        assert len({frozenset(part["test"]) for part in parts}) == 3
        assert len({frozenset(item for split in SPLITS for item in part[split]) for part in parts}) == 1

    def test_committed_photo_split_has_the_agreed_sizes(self) -> None:
        committed = splitting.read_split("photos")
        assert {split: len(committed[split]) for split in SPLITS} == {"train": 83, "validation": 91, "test": 84}
        assert len(splitting.lookup(committed)) == 258

    def test_an_item_in_two_splits_is_refused(self) -> None:
        with pytest.raises(AssertionError, match="is in train and in test"):
            splitting.lookup({"train": ["a"], "validation": [], "test": ["a"]})

    def test_too_few_concepts_are_refused(self) -> None:
        with pytest.raises(PrepareError, match="too few"):
            splitting.split_concepts(["a", "b"], 0)

    @pytest.mark.parametrize(
        ("license_", "origin", "split"),
        [
            ("CC BY 2.0", "val2017", "train"),
            ("CC BY-SA 2.0", "train2017", "train"),
            ("No known copyright restrictions", "train2017", "train"),
            ("CC BY-ND 2.0", "val2017", "test"),
            ("CC BY-NC 2.0", "train2017", "validation"),
            ("CC BY-NC-SA 2.0", "val2017", "test"),
        ],
    )
    def test_photos_go_by_licence_first(self, license_: str, origin: str, split: str) -> None:
        assert splitting.split_of_photo({"license": license_, "split": origin}) == split


def shot(number: int, objects: dict[str, int], license_: str = "CC BY 2.0", origin: str = "train2017") -> photos.Photo:
    return photos.Photo(
        image=f"images/{number}.jpg",
        image_id=number,
        split=origin,
        captions=[f"caption {number}"],
        objects=objects,
        license=license_,
        flickr_url="f",
        coco_url="c",
    )


class TestPhotos:
    def test_wrong_counts_stop(self) -> None:
        with pytest.raises(PrepareError, match=r"another photos\.jsonl"):
            photos.check_counts({"train": ["1"], "validation": [], "test": []})

    def test_text_captions_leave_out_held_out_photos_and_their_words(self, tmp_path: Path) -> None:
        tsv = tmp_path / "c.tsv"
        tsv.write_text(
            "1\tA dog runs.\n2\tA cat sits.\n1\tIt runs.\n3\ta bird flies\n4\tA cat, sleeping\n4\ta cat\n",
            encoding="utf-8",
        )
        table: dict[str, Split] = {"1": "train", "2": "test", "5": "validation"}
        assert photos.training_texts(tsv, table, {"cat sleeping"}) == [
            {"text": ["A dog runs.", "It runs."], "source_id": "coco:1"}
        ]

    def test_only_training_photos_are_attributed(self) -> None:
        table: dict[str, Split] = {"1": "train", "2": "test"}
        assert photos.attributions([shot(1, {}), shot(2, {})], table) == ["| 1 | CC BY 2.0 | f | c |"]

    def test_missing_folder_says_what_is_wanted(self, tmp_path: Path) -> None:
        with pytest.raises(PrepareError, match=r"photos\.jsonl"):
            photos.read_photos(tmp_path)

    def test_questions_are_fair_and_hold_no_answer(self) -> None:
        chance = random.Random(0)
        names = ["person", "dog", "car", "cup", "mouse", "skis", "knife"]
        shots = [shot(n, {name: chance.randint(1, 6) for name in names if chance.random() < 0.4}) for n in range(60)]
        rows = []
        for item in shots:
            row = caption(item["image_id"])
            row["source_id"] = f"coco:{item['image_id']}"
            rows.append(row)
        made = photo_questions.questions(rows, shots)
        check_questions(made)
        assert {row["type"] for row in made} == {"yesno", "count", "kind"}
        truth = {f"coco:{item['image_id']}": item["objects"] for item in shots}
        for query in {row["query"] for row in made if row["type"] == "yesno"}:
            answers = Counter(row["text"][0] for row in made if row["query"] == query)
            assert answers["yes"] == answers["no"] > 0
        counts = [row for row in made if row["type"] == "count"]
        assert guess_by_query([], counts)["count"]["majority"] < 0.45
        for count in counts:
            name = next(name for name in names if photo_questions.plural(name) in count["query"])
            assert photo_questions.NUMBERS[truth[count["source_id"]].get(name, 0)] == count["text"][0]


def make_emoji(tmp_path: Path, names: list[tuple[str, str]]) -> list[Emoji]:
    result = []
    for number, (label, subgroup) in enumerate(names):
        images = {style: draw(tmp_path / "in" / style / f"{number:x}.png", number) for style in STYLES}
        result.append(
            Emoji(
                code=f"{number:x}",
                label=label,
                concept=concept_of(label),
                tags=("fruit", "red apple", "food"),
                other_names=("firefighter",),
                group="",
                subgroup=subgroup,
                order=number,
                images=images,
            )
        )
    return result


NAMES = [
    ("firefighter", "person-role"),
    ("man firefighter", "person-role"),
    ("red apple", "food-fruit"),
    ("blue heart", "heart"),
    ("green heart", "heart"),
    ("red heart", "heart"),
    ("dog", "animal-mammal"),
    ("parrot", "animal-bird"),
    ("hammer", "tool"),
    ("pear", "food-fruit"),
    ("woman teacher", "person-role"),
]


class TestEmoji:
    def table(self, emojis: list[Emoji], held_out: str) -> dict[str, Split]:
        return {item.concept: "test" if item.concept == held_out else "train" for item in emojis}

    def test_a_concept_is_on_one_side_and_the_test_has_its_basic_drawing(self, tmp_path: Path) -> None:
        emojis = make_emoji(tmp_path, NAMES)
        rows, _ = captions(emojis, self.table(emojis, "firefighter"), tmp_path / "out")
        assert {row["concept"] for row in rows["test"]} == {"firefighter"}
        assert [row["text"] for row in rows["test"]] == [["firefighter"]] * 3
        assert {row["style"] for row in rows["test"]} == set(STYLES)
        assert "firefighter" not in {row["concept"] for row in rows["train"]}
        assert all((tmp_path / "out" / row["image"]).is_file() for row in rows["train"])

    def test_no_training_text_names_a_held_out_concept(self, tmp_path: Path) -> None:
        emojis = make_emoji(tmp_path, NAMES)
        table = self.table(emojis, "firefighter")
        rows, _ = captions(emojis, table, tmp_path / "out")
        held = held_out_texts(emojis, table)
        assert set(held) == {"firefighter", "man firefighter"}
        assert overlap.equal_texts(rows["train"], [], held) == []
        assert all(len(row["text"]) > 1 for row in rows["train"])
        assert by_concept(emojis)["firefighter"] == emojis[:2]

    def test_questions_hold_no_answer_and_yes_is_as_frequent_as_no(self, tmp_path: Path) -> None:
        emojis = make_emoji(tmp_path, NAMES)
        rows, owner = captions(emojis, self.table(emojis, "firefighter"), tmp_path / "out")
        nouns = nouns_in_many_colours(emojis)
        assert nouns == {"heart"}
        made = questions(rows["train"], owner, nouns, ["animal", "food", "human", "tool"])
        check_questions(made)
        assert {row["type"] for row in made} >= {"what", "kind", "yesno", "colour"}
        for query in {row["query"] for row in made if row["type"] == "yesno"}:
            answers = Counter(row["text"][0] for row in made if row["query"] == query)
            assert answers["yes"] == answers["no"]
        what = [row for row in made if row["type"] == "what"]
        assert {row["query"] for row in what} == {"what is this?"}
        assert all("firefighter" not in row["candidates"] for row in what)
        assert {row["query"] for row in made if row["type"] == "colour"} >= {"what colour is the heart?"}

    def test_colours_by_name_and_by_pixel(self, tmp_path: Path) -> None:
        assert named_colour("large orange diamond") == ("orange", "diamond")
        assert named_colour("black nib") is None
        assert named_colour("person with red hair") is None
        path = tmp_path / "blue.png"
        image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
        image.paste((30, 90, 230, 255), (5, 5, 35, 35))
        image.save(path)
        assert measured_colour(path) == "blue"
        half = tmp_path / "half.png"
        image.paste((230, 30, 30, 255), (5, 5, 35, 20))
        image.save(half)
        assert measured_colour(half) == ""
