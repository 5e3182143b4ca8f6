"""Two builds in one folder, a kill at any moment, and damaged files of an index."""

import json
import multiprocessing
import os
import signal

import pytest
from PIL import Image

from vljepa.errors import DataError
from vljepa.inference.index import Index, approximate, settle, units
from vljepa.inference.index.files import find_files
from vljepa.inference.index.lock import HOLDER, LOCK, alone_in, check_free
from vljepa.inference.index.rows import Shards


def hold(folder, ready):
    with alone_in(folder):
        ready.set()
        signal.pause()


@pytest.fixture
def other(tmp_path):
    """Another process that is at work in my.index."""
    folder = tmp_path / "my.index"
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(folder, ready))
    process.start()
    assert ready.wait(20)
    yield process
    process.kill()
    process.join()


def test_two_builds_in_one_folder_are_refused_and_a_killed_one_is_not_waited_for(
    other, model, processor, images, tmp_path, monkeypatch
):
    output, index = tmp_path / "my.index", Index.build(model, processor, images)
    predict = model.predict
    monkeypatch.setattr(model, "predict", None)  # not reached
    for refused in (
        lambda: Index.build(model, processor, images, output=output),
        lambda: index.save(output),
        lambda: check_free(output),
    ):
        with pytest.raises(DataError, match=f"process {other.pid} is at work in the index .*wait until it is done"):
            refused()

    os.kill(other.pid, signal.SIGKILL)
    other.join()

    check_free(output)
    monkeypatch.setattr(model, "predict", predict)
    assert len(Index.build(model, processor, images, output=output)) == 3
    assert not (output / HOLDER).exists()


def test_removing_waits_for_nobody(other, model, processor, images, tmp_path):
    index = Index.build(model, processor, images, output=tmp_path / "other.index")
    (tmp_path / "other.index").rename(tmp_path / "away.index")
    for file in (tmp_path / "away.index").iterdir():
        if file.name != LOCK:
            file.rename(tmp_path / "my.index" / file.name)
    index.place = tmp_path / "my.index"
    with pytest.raises(DataError, match="is at work"):
        index.remove("red.png")
    assert len(Index.load(model, processor, tmp_path / "my.index")) == 3, "searching goes on"


@pytest.mark.parametrize("left", [[], ["shards"], ["shards", ".lock", ".building", ".unfinished.json.x1"]])
def test_a_kill_before_anything_was_listed_leaves_what_the_next_run_takes_up(model, processor, images, tmp_path, left):
    output = tmp_path / "my.index"
    output.mkdir()
    for name in left:
        (output / name).mkdir() if name == "shards" else (output / name).touch()
    assert len(Index.build(model, processor, images, output=output)) == 3


def test_a_folder_of_somebody_else_is_none(model, processor, images, tmp_path):
    (tmp_path / "my.index" / "shards").mkdir(parents=True)
    (tmp_path / "my.index" / "shards" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="is not an index, so nothing is written"):
        Index.build(model, processor, images, output=tmp_path / "my.index")


@pytest.fixture
def sharded(model, processor, tmp_path, monkeypatch):
    """Builder of an index of three shards of 8 images, which counts how many it embeds."""
    monkeypatch.setattr(settle, "SMALL", 4)
    monkeypatch.setattr(settle, "LARGE", 8)
    monkeypatch.setattr(units, "IMAGES", 8)
    (tmp_path / "files").mkdir()
    for number in range(24):
        Image.new("RGB", (2, 2), (number + 1, 0, 0)).save(tmp_path / "files" / f"{number:02}.png")

    def build():
        model.modes.clear()
        index = Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
        return index, sum(count for _, _, count in model.modes)

    build()
    return build


@pytest.mark.parametrize("damage", ["cut short", "gone", "garbage", "another's length"])
def test_one_damaged_shard_costs_only_itself(sharded, model, processor, tmp_path, damage):
    whole = sorted(one.path for one in Index.load(model, processor, tmp_path / "my.index").entries)
    shard, another = sorted((tmp_path / "my.index" / "shards").iterdir())[:2]
    content = shard.read_bytes()
    if damage == "cut short":
        shard.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        shard.unlink()
    elif damage == "garbage":
        shard.write_bytes(b"\xff" * len(content))
    else:
        listing = json.loads((tmp_path / "my.index" / "manifest.json").read_text())
        listing["shards"][shard.name] = 5
        (tmp_path / "my.index" / "manifest.json").write_text(json.dumps(listing))

    with pytest.raises(DataError, match=rf"{shard.name}.*run `vljepa index PATH -o INDEX` again.*embedded anew"):
        Index.load(model, processor, tmp_path / "my.index")
    index, embedded = sharded()

    assert embedded == 8
    assert index.unchanged == 16
    assert another.is_file()
    assert sorted(one.path for one in Index.load(model, processor, tmp_path / "my.index").entries) == whole


def test_a_damaged_unit_of_a_build_that_was_broken_off_is_made_again(model, processor, tmp_path, monkeypatch):
    monkeypatch.setattr(units, "IMAGES", 8)
    (tmp_path / "files").mkdir()
    for number in range(24):
        Image.new("RGB", (2, 2), (number + 1, 0, 0)).save(tmp_path / "files" / f"{number:02}.png")
    with monkeypatch.context() as context:
        context.setattr("vljepa.inference.index.build.settle", lambda known, new, store: [*new, 1 / 0])
        with pytest.raises(ZeroDivisionError):
            Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
    first, *others = sorted((tmp_path / "my.index" / "shards").glob("*-unit.arrow"))
    assert len(others) == 2
    first.write_bytes(b"no")
    model.modes.clear()
    index = Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
    assert (len(index), index.unchanged, sum(count for _, _, count in model.modes)) == (24, 16, 8)


def test_an_index_that_is_replaced_while_it_is_being_opened(model, processor, images, tmp_path, monkeypatch):
    output = tmp_path / "my.index"
    Index.build(model, processor, images, output=output)
    Image.new("RGB", (9, 9), "#00ff00").save(images / "new.png")

    def replace_then_open(*words, real=Shards.open, **options):
        monkeypatch.setattr(Shards, "open", real)
        Index.build(model, processor, images, output=output)
        return real(*words, **options)

    monkeypatch.setattr(Shards, "open", replace_then_open)
    assert len(Index.load(model, processor, output)) == 4


def test_an_index_inside_of_the_indexed_folder_is_not_counted(model, processor, images):
    for _ in range(2):
        index = Index.build(model, processor, images, output=images / "my.index")
        assert index.passed_over == ["notes.txt"]
    assert find_files(images).others == ["notes.txt"]


def test_what_faiss_has_is_on_the_disk_before_it_is_listed(tmp_path, monkeypatch):
    import faiss

    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.readlink(f"/proc/self/fd/{number}")))
    approximate._write(faiss.IndexFlatIP(3), tmp_path / "a.faiss")
    assert synced == [str(tmp_path / "a.faiss")]
