"""PITFALLS 16: what of a test set is in the training data is found, and what is not found is known."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import write_rows
from tests.unit.data.test_formats import KINDS
from vljepa.data import fingerprints
from vljepa.data.fingerprints import NEAR_BITS, Fingerprint, near
from vljepa.data.overlap import Overlap, TrainingSet, find_overlap, read_records
from vljepa.data.records import Clip, Record
from vljepa.errors import DataError

IMAGES = Path(__file__).parents[3] / "examples" / "images"
PHOTOS = sorted(IMAGES.glob("*.jpg"))
CLIP = IMAGES.parent / "clip.mp4"

# What is done to the cat, and whether it is seen to be the cat.
CHANGES = {
    "jpeg at 75": (lambda cat, file: cat.save(file, quality=75), True),
    "jpeg at 30": (lambda cat, file: cat.save(file, quality=30), True),
    "half the size": (lambda cat, file: cat.resize((cat.width // 2, cat.height // 2)).save(file), True),
    "squashed": (lambda cat, file: cat.resize((224, 224)).save(file), True),
    "mirrored": (lambda cat, file: cat.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file), False),
    "turned": (lambda cat, file: cat.transpose(Image.Transpose.ROTATE_90).save(file), False),
    "cropped": (lambda cat, file: cat.crop((60, 40, cat.width - 60, cat.height - 40)).save(file), False),
}  # fmt: skip


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    return TrainingSet(Record(photo, ("a photo",), source_id=photo.stem) for photo in PHOTOS)


def counts(train: list[Record], test: list[Record]) -> dict[str, int]:
    return find_overlap(train, test).counts()


def test_other_images_with_other_texts_are_no_overlap(tmp_path: Path) -> None:
    half = len(PHOTOS) // 2
    train = [Record(photo, (f"text {photo.stem}",)) for photo in PHOTOS[:half]]
    test = [Record(photo, (f"text {photo.stem}",)) for photo in PHOTOS[half:]]
    found = find_overlap(train, test)
    assert not found.found
    assert found.counts() == {"exact": 0, "near": 0, "source_id": 0, "text": 0}
    assert found.test["images"] == len(PHOTOS) - half


def test_a_planted_copy_is_exact_and_not_counted_as_near_again(training: TrainingSet, tmp_path: Path) -> None:
    copy = Path(shutil.copy(IMAGES / "cat.jpg", tmp_path / "1.jpg"))
    found = training.overlap([Record(copy, ("x",)), Record(copy, ("y",))])
    assert (found.exact, found.near, found.test["images"]) == (1, 0, 1)
    assert found.examples["exact"] == [(str(copy), str(IMAGES / "cat.jpg"))]


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_or_known_not_to_be(training: TrainingSet, tmp_path: Path, change: str) -> None:
    save, seen = CHANGES[change]
    with Image.open(IMAGES / "cat.jpg") as cat:
        save(cat.convert("RGB"), tmp_path / "1.jpg")
    found = training.overlap([Record(tmp_path / "1.jpg", ("x",))])
    assert (found.exact, found.near) == (0, int(seen))
    if seen:
        assert found.examples["near"] == [(str(tmp_path / "1.jpg"), str(IMAGES / "cat.jpg"))]


def test_flat_images_are_compared_by_bytes_alone(tmp_path: Path) -> None:
    for name, grey in (("a", 200), ("b", 200), ("c", 201)):
        Image.new("L", (64, 64), grey).save(tmp_path / f"{name}.png")
    a, b, c = (Record(tmp_path / f"{name}.png", ()) for name in "abc")
    assert counts([a], [b, c]) == {"exact": 1, "near": 0, "source_id": 0, "text": 0}


def test_texts_are_compared_in_their_normal_form_and_with_their_question() -> None:
    train = [Record(None, ("A red  apple.", "yes")), Record(None, ("red",), query="Which colour?")]
    test = [
        Record(None, ("a red apple", "a pear")),  # one of two
        Record(None, ("Red",), query="which colour"),  # the same question and answer
        Record(None, ("yes",), query="is it red?"),  # an answer that is a caption elsewhere
        Record(None, ("red",)),
    ]
    found = find_overlap(train, test)
    assert (found.text, found.test["texts"]) == (2, 5)
    assert found.examples["text"] == [("a red apple", "A red  apple."), ("which colour Red", "Which colour? red")]


def test_identities_count_where_the_data_gives_them(training: TrainingSet) -> None:
    named = [Record(None, ("x",), source_id="cat"), Record(None, ("y",), source_id="y")]
    assert training.overlap(named).source_id == 1
    assert TrainingSet([Record(PHOTOS[0], ("y",), source_id="y")]).overlap(named).source_id == 0
    numbered = TrainingSet([Record(PHOTOS[0], ("z",), source_id="0"), Record(PHOTOS[1], ("z",), source_id="coco:0")])
    assert numbered.overlap([Record(PHOTOS[2], ("w",), source_id="0")]).source_id == 0, "numbers of another file"
    assert numbered.overlap([Record(PHOTOS[2], ("w",), source_id="coco:0")]).source_id == 1


def test_what_cannot_be_read_is_counted(training: TrainingSet, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    found = training.overlap([Record(tmp_path / "broken.jpg", ()), Record(tmp_path / "absent.jpg", ())])
    assert found.unreadable == {"test": 2, "train": 0}
    assert found.test["images"] == 2
    assert not found.found


def test_clips_of_one_video_are_the_same_at_whatever_times(tmp_path: Path) -> None:
    copy = Path(shutil.copy(CLIP, tmp_path / "copy.mp4"))
    train, test = Clip(CLIP, 0.0, 1.0, 8), Clip(copy, 1.5, None, 4)
    assert counts([Record(train, ("x",))], [Record(test, ("y",))])["exact"] == 1
    other = Record(PHOTOS[0], ("z",))
    assert counts([Record(train, ("x",))], [other])["exact"] == 0


def test_near_pairs_are_those_that_comparing_all_gives() -> None:
    """The blocks of bits lose no pair: hashes that differ in 0, 2 or more bits, anywhere."""
    draw = np.random.default_rng(0)
    items = [_print(int(bits)) for bits in draw.integers(0, 2**63, 200, dtype=np.uint64)]
    flips = [sum(1 << int(bit) for bit in draw.choice(64, size, replace=False)) for size in (0, 1, 2, 2, 2, 3, 4) * 30]
    queries = [_print(items[index % 200].bits ^ flip) for index, flip in enumerate(flips)]
    expected = [index % 200 if flip.bit_count() <= NEAR_BITS else -1 for index, flip in enumerate(flips)]
    assert near(queries, items).tolist() == expected
    assert near([], items).tolist() == near([], []).tolist() == []
    assert near(queries[:2], []).tolist() == [-1, -1]


def test_the_nearest_of_many_is_named_whatever_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [_print(7, colour) for colour in (30, 10, 0, 20)]
    queries = [_print(7, colour) for colour in (21, 9, 200)] * 3
    expected = [3, 1, -1] * 3
    assert near(queries, items).tolist() == expected
    monkeypatch.setattr(fingerprints, "_PAIRS_AT_ONCE", 3)
    assert near(queries, items).tolist() == expected


@pytest.mark.parametrize("write", KINDS.values(), ids=KINDS)
def test_every_kind_of_data_is_compared(tmp_path: Path, write) -> None:
    records = read_records(str(write(tmp_path / "data")))
    found = find_overlap(records, records)
    assert (found.exact, found.text, found.test["images"]) == (3, 6, 3)


def test_images_need_no_texts_and_texts_no_images(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    shutil.copy(PHOTOS[0], tmp_path / "deep" / "b.JPG")
    shutil.copy(PHOTOS[1], tmp_path / "a.jpg")
    named = [(one.image.name, one.texts) for one in read_records(str(tmp_path))]
    assert named == [("a.jpg", ()), ("b.JPG", ())], "the name of a class is no text: training and test share it"
    (tmp_path / "texts.txt").write_text("A cat.\na dog\n")
    write_rows(tmp_path / "rows.jsonl", [{"caption": "a cat"}])
    assert counts(read_records(str(tmp_path / "rows.jsonl")), read_records(str(tmp_path / "texts.txt")))["text"] == 1
    for name in ("captions.csv", "captions.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="two captions files"):
        read_records(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no captions file"):
        read_records(str(tmp_path / "empty"))


def test_without_imagehash_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(DataError, match=r"vljepa-torch\[eval\]"):
        counts([Record(PHOTOS[0], ())], [Record(PHOTOS[1], ())])
    assert counts([Record(None, ("x",))], [Record(None, ("x",))])["text"] == 1, "texts need no hashes"


def test_a_report_says_what_it_compared_and_how() -> None:
    report: Overlap = find_overlap([Record(None, ("x",))], [Record(None, ("x",))])
    assert report.as_dict()["rules"] == {"near_bits": 2, "near_colour": 24.0, "flat": 12.0}
    assert report.as_dict()["train"] == {"images": 0, "source_ids": 0, "texts": 1}


def _print(bits: int, colour: int = 0) -> Fingerprint:
    return Fingerprint(content="", bits=bits, thumbnail=np.full((8, 8, 3), colour, dtype=np.uint8))
