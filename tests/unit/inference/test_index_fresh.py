"""An index that is kept fresh, by a real observer of the file system."""

import os
import shutil
import threading
import time
from itertools import islice

import pytest
from PIL import Image

from tests.videos import write_video
from vljepa.errors import ConfigError, DataError
from vljepa.inference.index import Index, fresh, units
from vljepa.inference.index.changes import Changes
from vljepa.inference.index.fresh import keep_fresh
from vljepa.inference.index.lock import alone_in


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fresh, "TURN", 0.02)


@pytest.fixture
def follow(model, processor, tmp_path):
    """Starts to keep my.index fresh; gives a function for what comes next: paths, how many were embedded."""
    running = []

    def follow(*folders, **options):
        generator = keep_fresh(model, processor, folders, output=tmp_path / "my.index", **{"quiet": 0.1, **options})
        running.append(generator)

        def following():
            for found in generator:
                if isinstance(found, DataError):
                    return str(found)
                if found.changed:
                    following.skipped = [one.path for one in found.index.skipped]
                    assert Index.load(model, processor, tmp_path / "my.index").entries == found.index.entries
                    return sorted({one.path for one in found.index.entries}), found.embedded
            raise AssertionError("it ended")

        return following

    yield follow
    for generator in running:
        generator.close()
    assert not [one for one in threading.enumerate() if "inotify" in type(one).__name__.lower()]


def paint(path, colour="#00ff00", size=8):
    Image.new("RGB", (size, size), colour).save(path)


def test_what_comes_changes_moves_and_goes(follow, images, model):
    following = follow(images)
    assert following() == (["deep/blue.webp", "green.jpg", "red.png"], 3)
    assert following.skipped == ["broken.png"]
    model.modes.clear()

    paint(images / "new.png")
    assert following() == (["deep/blue.webp", "green.jpg", "new.png", "red.png"], 1)
    assert following.skipped == [], "what is as broken as it was is not tried again"
    paint(images / "red.png", "#0000ff", size=9)
    assert following()[1] == 1
    assert sum(count for _, _, count in model.modes) == 2, "nothing else was embedded, the broken one neither"
    (images / "other").mkdir()
    (images / "new.png").rename(images / "other" / "moved.png")
    assert following() == (["deep/blue.webp", "green.jpg", "other/moved.png", "red.png"], 0)
    (images / "green.jpg").unlink()
    assert following() == (["deep/blue.webp", "other/moved.png", "red.png"], 0)
    paint(images / "broken.png")
    assert following() == (["broken.png", "deep/blue.webp", "other/moved.png", "red.png"], 1)


def test_files_renamed_one_by_one_are_moved_and_not_new(follow, images, model):
    """Another file has settled meanwhile: it waits until the renaming is over."""
    following = follow(images, quiet=0.4)
    following()
    model.modes.clear()
    done = threading.Event()

    def rename():
        for number in range(12):
            (images / ("red.png" if number == 0 else f"red{number}.png")).rename(images / f"red{number + 1}.png")
            done.wait(0.1)

    paint(images / "new.png")
    renaming = threading.Thread(target=rename)
    renaming.start()
    found = following()
    renaming.join()
    assert found == (["deep/blue.webp", "green.jpg", "new.png", "red12.png"], 1)


def test_a_known_file_that_is_being_written_stays_meanwhile(follow, images, monkeypatch):
    following = follow(images, quiet=0.4)
    following()
    done = threading.Event()

    def write():
        while not done.wait(0.05):
            paint(images / "red.png", "#0000ff", size=9)

    writer = threading.Thread(target=write)
    writer.start()
    paint(images / "new.png")
    paths, embedded = following()
    done.set()
    writer.join()
    assert (paths, embedded) == (["deep/blue.webp", "green.jpg", "new.png", "red.png"], 1)
    assert following() == (["deep/blue.webp", "green.jpg", "new.png", "red.png"], 1)


def test_a_folder_made_anew_at_once_is_followed_on(follow, images, tmp_path):
    """The new one may have the number of the old one."""
    following = follow(images)
    following()
    for _ in range(3):
        shutil.rmtree(images)
        images.mkdir()
        paint(images / "new.png")
        assert following()[0] == ["new.png"]
        paint(images / "later.png", "#0000ff")
        assert following()[0] == ["later.png", "new.png"]


def test_a_file_that_is_still_being_written_waits_and_holds_up_no_other(follow, images, tmp_path):
    following = follow(images, quiet=0.6)
    following()
    whole = tmp_path / "whole.bmp"
    paint(whole, size=40)
    content, done = whole.read_bytes(), threading.Event()

    def write_slowly():
        with (images / "slow.bmp").open("wb") as file:
            for start in range(0, len(content), 100):
                file.write(content[start : start + 100])
                file.flush()
                if done.wait(0.05):  # longer than the other one needs
                    break
            file.write(content[file.tell() :])

    writer = threading.Thread(target=write_slowly)
    writer.start()
    paint(images / "quick.png")
    paths, embedded = following()
    assert following.skipped == [], "the half file was not looked at"
    done.set()
    writer.join()

    assert (paths, embedded) == (["deep/blue.webp", "green.jpg", "quick.png", "red.png"], 1)
    assert following() == (["deep/blue.webp", "green.jpg", "quick.png", "red.png", "slow.bmp"], 1)


def test_a_damaged_video_is_kept_as_far_as_it_goes_and_read_again_when_it_has_changed(follow, images, monkeypatch):
    whole = write_video(images / "cut.mkv", count=40, fps=10)
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 2 // 3])
    read = []
    monkeypatch.setattr(
        units, "read_segments", lambda *a, real=units.read_segments, **o: read.append(a[0]) or real(*a, **o)
    )
    following = follow(images)
    following()
    assert following.skipped == ["broken.png", "cut.mkv"]

    paint(images / "new.png")
    assert following() == (["cut.mkv", "deep/blue.webp", "green.jpg", "new.png", "red.png"], 1)
    assert (following.skipped, len(read)) == ([], 1)
    whole.write_bytes(content)
    assert following()[1] == 1
    assert (following.skipped, len(read)) == ([], 2)


def test_a_folder_that_comes_late_vanishes_and_comes_back(follow, images, tmp_path, model):
    late = tmp_path / "late"
    following = follow(late)
    assert f"{str(late)!r} is not there" in following()
    images.rename(late)
    assert following()[1] == 3
    model.modes.clear()

    late.rename(tmp_path / "away")
    assert "the index stays as it is" in following()
    (tmp_path / "away").rename(late)
    paint(late / "new.png")
    assert following() == (["deep/blue.webp", "green.jpg", "new.png", "red.png"], 1)
    shutil.rmtree(late)
    assert "is not there" in following()
    late.mkdir()  # such as where a drive was mounted
    assert "has no images or videos" in following()
    paint(late / "only.png", "#0000ff")
    assert following() == (["only.png"], 1)
    assert sum(count for _, _, count in model.modes) == 2


def test_the_index_may_lie_inside_of_the_folder_and_is_no_change(follow, images, tmp_path, model, processor):
    os.symlink(tmp_path, images / "link")
    output = images / "my.index"
    looks = []
    generator = keep_fresh(model, processor, [images], output=output, quiet=0.02)
    looks.append(next(generator))
    paint(images / "new.png")
    looks.append(next(generator))
    ended = threading.Thread(target=lambda: [time.sleep(0.5), paint(images / "last.png")])
    ended.start()
    looks.append(next(generator))
    ended.join()
    generator.close()
    assert [one.embedded for one in looks] == [3, 1, 1], "its own files ask for no look"


def test_while_another_process_is_at_work_it_is_tried_again(follow, images, tmp_path, monkeypatch):
    monkeypatch.setattr(fresh, "_AGAIN", 0.05)
    (tmp_path / "my.index").mkdir()
    following = follow(images)
    with alone_in(tmp_path / "my.index"):
        assert "is at work in the index" in following()
    assert following()[1] == 3


def test_faiss_is_not_given_a_few_rows_at_every_change(model, processor, images, tmp_path, monkeypatch):
    monkeypatch.setattr("vljepa.inference.index.finding.names_to_ask_for", lambda: ["green", "red"])
    output = tmp_path / "my.index"
    assert fresh._factory(output) == "auto"
    Index.build(model, processor, images, output=output, approximate="HNSW4")
    paint(images / "new.png")
    [found] = islice(keep_fresh(model, processor, [images], output=output), 1)
    assert len(found.index.search("green", k=9)) == 4
    assert sum(found.index.manifest.approximate.shards.values()) == 3
    monkeypatch.setattr(fresh, "_BEHIND", 1)
    assert fresh._factory(output) == "HNSW4"


def test_without_watchdog(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "watchdog", None)
    with pytest.raises(ConfigError, match=r"vljepa-torch\[watch\]"):
        Changes([tmp_path], leave_out=tmp_path / "my.index")


def test_a_system_that_follows_no_more_folders(monkeypatch, tmp_path):
    changes = Changes([tmp_path], leave_out=tmp_path / "my.index")
    monkeypatch.setattr(
        changes._observer,
        "schedule",
        lambda *_, **__: (_ for _ in ()).throw(OSError(28, "inotify watch limit reached")),
    )
    with pytest.raises(DataError, match=r"cannot be followed: inotify watch limit.*max_user_watches"):
        changes.missing()
