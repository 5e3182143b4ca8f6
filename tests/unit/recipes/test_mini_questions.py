"""mini's questions, titles, images, overlap and fetching."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from recipes.mini import build, fetch, overlap
from recipes.mini.easy_vqa import questions as easy_questions
from recipes.mini.images import save_png
from recipes.mini.records import (
    SPLITS,
    PrepareError,
    Question,
    answer_in_query,
    check_questions,
    even_yes_no,
    normalise,
)
from recipes.mini.report import guess_by_query
from recipes.mini.titles import clean_description, clean_title
from tests.unit.recipes.test_mini_data import NAMES, caption, draw, make_emoji


def asked(query: str, answer: str, candidates: list[str], kind: str = "kind") -> Question:
    return Question(image="x.png", query=query, text=[answer], candidates=candidates, type=kind, source_id="test:0")


class TestQuestions:
    def test_answer_in_query_compares_whole_words(self) -> None:
        assert answer_in_query("red", "is the red shape a circle?")
        assert answer_in_query("A Circle", "is there a circle?")
        assert not answer_in_query("red", "is it tired?")
        assert not answer_in_query("no", "is there not a circle?")

    def test_a_query_with_its_answer_is_refused(self) -> None:
        with pytest.raises(AssertionError, match="holds its answer"):
            check_questions([asked("what colour is the blue heart?", "blue", ["blue", "red"])])

    def test_a_negated_query_must_have_both_answers(self) -> None:
        no, yes = (asked("is no circle present?", answer, ["yes", "no"], "yesno") for answer in ("no", "yes"))
        check_questions([no, yes])
        with pytest.raises(AssertionError, match="only ever answered"):
            check_questions([no])

    def test_the_answer_is_among_the_candidates(self) -> None:
        with pytest.raises(AssertionError):
            check_questions([asked("what is this?", "pear", ["apple"])])

    def test_yes_and_no_are_level_and_do_not_depend_on_the_order(self) -> None:
        yes, no = [caption(n) for n in range(3)], [caption(n) for n in range(10, 30)]
        first, second = even_yes_no("is it?", yes, no), even_yes_no("is it?", yes[::-1], no[::-1])
        assert first == second
        assert Counter(row["text"][0] for row in first) == {"yes": 3, "no": 3}

    def test_guessing_without_an_image_is_measured(self) -> None:
        train = [asked("q1", "yes", ["yes", "no"], "yesno")] * 3 + [asked("q2", "no", ["yes", "no"], "yesno")]
        test = [asked("q1", "yes", ["yes", "no"], "yesno"), asked("q2", "no", ["yes", "no"], "yesno")]
        assert guess_by_query(train, test)["yesno"]["question_only"] == 1.0
        assert guess_by_query(train, test)["yesno"]["majority"] == 0.5

    def test_easy_vqa_keeps_training_images_for_validation(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        for folder, count in (("train", 10), ("test", 4)):
            for number in range(count):
                draw(data / folder / "images" / f"{number}.png", number)
            pairs = [["what color is the shape?", "red", number] for number in range(count)]
            (data / folder / "questions.json").write_text(json.dumps(pairs), encoding="utf-8")
        (data / "answers.txt").write_text("red\nblue\nyes\nno\n", encoding="utf-8")
        rows = easy_questions(data, tmp_path / "out", held_out=3)
        assert {split: len(rows[split]) for split in SPLITS} == {"train": 7, "validation": 3, "test": 4}
        assert not {row["image"] for row in rows["train"]} & {row["image"] for row in rows["validation"]}
        assert all((tmp_path / "out" / row["image"]).is_file() for split in SPLITS for row in rows[split])


class TestTitles:
    @pytest.mark.parametrize(
        ("title", "stem", "author", "common", "expected"),
        [
            ("Vanilla Soft Serve Ice Cream Cone", "x", "Gerald G.", False, "vanilla soft serve ice cream cone"),
            ("AfricanDrum3", "african_drum_benji_park_", "Benji Park", False, "african drum"),
            ("red_flower", "red_flower_03", "Jean-Victor Balin", False, "red flower"),
            ("Clipart by Nicu Buculei - book_01", "scissors", "Nicu Buculei", True, "scissors"),
            ("Lemon (Half Slice)", "lemon", "Gerald G.", False, "lemon"),
            ("Acquila", "acquila", "Architetto Francesco Rollandin", False, ""),
            ("x1", "01", "", False, ""),
        ],
    )
    def test_titles_become_plain_words(self, title: str, stem: str, author: str, common: bool, expected: str) -> None:
        assert clean_title(title, file_name=stem, author=author, common=common) == expected

    def test_descriptions_about_the_file_are_left_out(self) -> None:
        assert clean_description("Made with Inkscape", "x") == ""
        assert clean_description("mail me at a@b.c", "x") == ""
        assert clean_description("Bucket with green water. Enjoy", "x") == ""
        assert clean_description("A pretty young mermaid, looking up", "x") == "A pretty young mermaid, looking up"


class TestImages:
    def test_transparent_becomes_white_and_margins_go(self, tmp_path: Path) -> None:
        page = Image.new("RGBA", (400, 600), (0, 0, 0, 0))
        page.paste((200, 0, 0, 255), (100, 100, 160, 140))
        page.save(tmp_path / "page.png")
        assert save_png(tmp_path / "page.png", tmp_path / "out.png", 256, trim=True)
        with Image.open(tmp_path / "out.png") as image:
            assert image.mode == "RGB"
            assert image.size == (66, 46)
            assert image.getpixel((0, 0)) == (255, 255, 255)

    def test_blank_broken_and_huge_images_are_refused(self, tmp_path: Path) -> None:
        Image.new("RGB", (50, 50), "white").save(tmp_path / "blank.png")
        (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
        Image.new("1", (5000, 5000)).save(tmp_path / "huge.png")
        for name in ("blank", "broken", "huge"):
            assert not save_png(tmp_path / f"{name}.png", tmp_path / "out.png", 64, trim=True)
        assert not (tmp_path / "out.png").exists()


class TestOverlap:
    def prints(self, *paths: Path) -> list[overlap.Print]:
        return [overlap.print_of(path) for path in paths]

    def test_different_images_are_no_violation(self, tmp_path: Path) -> None:
        train = self.prints(*(draw(tmp_path / f"a{n}.png", n) for n in range(20)))
        test = self.prints(*(draw(tmp_path / f"b{n}.png", n + 100) for n in range(20)))
        assert overlap.check({"emoji": train}, {"emoji": test}, [])["violations"] == 0

    def test_a_planted_copy_is_found(self, tmp_path: Path) -> None:
        train = self.prints(*(draw(tmp_path / f"a{n}.png", n) for n in range(20)))
        test = self.prints(draw(tmp_path / "b.png", 7))
        report = overlap.check({"emoji": train}, {"photos": test}, [])
        assert report["violations"] >= 1
        assert len(report["equal"]["emoji"]) == 1

    def test_a_planted_near_copy_is_found_and_dropped(self, tmp_path: Path) -> None:
        rows = [caption(n) for n in range(20)]
        prints = {row["source_id"]: overlap.print_of(draw(tmp_path / f"a{n}.png", n)) for n, row in enumerate(rows)}
        with Image.open(tmp_path / "a7.png") as image:
            image.resize((96, 96), Image.Resampling.BICUBIC).save(tmp_path / "near.png")
        held = self.prints(tmp_path / "near.png")
        assert overlap.pairs(list(prints.values()), held, how=overlap.equal) == []
        assert overlap.check({"emoji": list(prints.values())}, {"emoji": held}, [])["violations"] == 1
        kept, dropped_ids = overlap.drop_near(rows, prints, held)
        assert dropped_ids == ["test:7"]
        assert len(kept) == 19

    def test_another_colour_is_another_image(self, tmp_path: Path) -> None:
        red, blue = (draw(tmp_path / f"{colour}.png", 3, colour=colour) for colour in ("red", "blue"))
        assert overlap.pairs(self.prints(red), self.prints(blue), how=overlap.near) == []

    def test_flat_images_are_compared_by_bytes_only(self, tmp_path: Path) -> None:
        Image.new("RGB", (64, 64), (200, 200, 200)).save(tmp_path / "flat.png")
        assert overlap.print_of(tmp_path / "flat.png").fingerprint.bits is None

    def test_a_planted_text_is_found(self) -> None:
        held = {normalise("Red Apple"): "red apple"}
        assert overlap.equal_texts([caption(1, "a red apple")], [], held) == ["test:1: 'a red apple'"]
        what = asked("what is this?", "red apple", ["red apple", "pear"], "what")
        assert len(overlap.equal_texts([], [what], held)) == 1

    def test_template_images_are_reported_without_stopping(self, tmp_path: Path) -> None:
        one = self.prints(draw(tmp_path / "one.png", 1))
        report = overlap.check({"easy_vqa": one}, {"easy_vqa": one}, [])
        assert report["violations"] == 0
        assert report["reported_only"]["easy_vqa equal files"] == 1


class TestFetch:
    package = fetch.Package(client="npm", name="x", version="1", file="x-1.tgz", sha256="0" * 64, members=("package/",))

    def test_a_wrong_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x-1.tgz").write_bytes(b"something else")
        with pytest.raises(PrepareError, match="SHA-256"):
            fetch.download(self.package, tmp_path)

    def test_a_missing_client_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(PrepareError, match="'npm' is not installed"):
            fetch.download(self.package, tmp_path)

    def test_a_failing_client_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        client = tmp_path / "bin" / "npm"
        client.parent.mkdir()
        client.write_text("#!/bin/sh\necho half > x-1.tgz\necho no such package >&2\nexit 1\n", encoding="ascii")
        client.chmod(0o755)
        monkeypatch.setenv("PATH", f"{client.parent}:/usr/bin:/bin")
        with pytest.raises(PrepareError, match="no such package"):
            fetch.download(self.package, tmp_path / "get")
        assert list((tmp_path / "get").iterdir()) == []

    def test_every_package_is_pinned(self) -> None:
        for package in fetch.PACKAGES.values():
            assert len(package.sha256) == 64
            command = " ".join(fetch.client_command(package))
            assert package.version in command
            assert "://" not in command


def test_a_split_file_of_other_concepts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrepareError, match="does not name the concepts"):
        build.emoji_table(make_emoji(tmp_path, NAMES), 0)
