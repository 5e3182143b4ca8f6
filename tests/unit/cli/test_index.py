import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.videos import write_video

COMMAND = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())"]


def test_a_folder_becomes_a_file(run, toy, images):
    code, out, err = run("index", "images", "-o", "p.index", "--model", toy)

    assert code == 0
    assert out == "2 images in p.index\n"
    assert err.startswith("skipped 1 of 3 files:\n  broken.png: ")


def test_json(run, toy, images):
    report = json.loads(run("index", "images", "-o", "p.index", "--model", toy, "--json")[1])

    assert report["index"] == "p.index"
    assert report["images"] == 2
    assert [skipped["path"] for skipped in report["skipped"]] == ["broken.png"]


def test_what_cannot_work_fails_before_the_model_is_loaded(fails, images):
    nowhere = ["--model", "nope"]
    assert "no image or video 'none'" in fails("index", "none", "-o", "p.index", *nowhere)
    assert "no folder 'none'" in fails("index", "images", "-o", "none/p.index", *nowhere)
    assert "it is a folder" in fails("index", "images", "-o", "images", *nowhere)


def test_an_index_that_is_there_survives_a_failing_run(fails, run, toy, images):
    run("index", "images", "-o", "p.index", "--model", toy)
    before = (images.parent / "p.index").read_bytes()
    for image in ("red.png", "deep/blue.jpg"):
        (images / image).write_bytes(b"broken")

    assert "none of the 3 files" in fails("index", "images", "-o", "p.index", "--model", toy)
    assert (images.parent / "p.index").read_bytes() == before


def test_a_photo_is_never_overwritten_by_an_index(fails, run, toy, images):
    before = (images / "red.png").read_bytes()
    assert "not an index" in fails("index", "images", "-o", "images/red.png", "--model", "nope")
    assert (images / "red.png").read_bytes() == before

    for _ in range(2):  # an index may be made again in its place
        assert run("index", "images", "-o", "p.index", "--model", toy)[0] == 0


def test_videos_become_segments(run, toy, images, story):
    code, out, err = run("index", "images/red.png", "story.gif", "-o", "p.index", "--model", toy)

    assert code == 0
    assert err == ""
    assert out == "1 image and 3 segments of 1 video in p.index\n"
    assert run("index", story, "-o", "p.index", "--model", toy, "--threshold", "100")[1] == (
        "1 segment of 1 video in p.index\n"
    )


def test_json_counts_images_videos_and_segments(run, toy, images, story):
    (images / "broken.mp4").write_bytes(b"no video")

    report = json.loads(run("index", "images", "story.gif", "-o", "p.index", "--model", toy, "--json")[1])

    assert (report["images"], report["videos"], report["segments"]) == (2, 1, 3)
    assert report["folder"] == str(images.parent)
    assert {one["path"]: one["partly"] for one in report["skipped"]} == {
        "images/broken.mp4": False,
        "images/broken.png": False,
    }


def test_a_damaged_video_is_named_with_what_could_be_read(run, toy, images):
    whole = write_video(images / "cut.mkv", count=40, fps=10)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])

    code, out, err = run("index", "images/cut.mkv", "-o", "p.index", "--model", toy)

    assert code == 0
    assert "of 1 video in p.index" in out
    assert err.startswith("only a part of cut.mkv could be read: ")
    assert "skipped" not in err


def test_an_index_of_an_older_version_is_replaced_and_not_searched(fails, run, toy, images):
    from safetensors.numpy import save_file

    old = {"format": "vljepa-index", "version": "2", "model": "m", "fingerprint": "f", "text_space": "s", "folder": "/"}
    save_file({"rows": np.zeros((1, 3), np.float32), "entries": np.zeros(2, np.uint8)}, "p.index", metadata=old)

    message = fails("search", "p.index", "a fish", "--model", toy)

    assert "version '2'; this vljepa reads 4" in message
    assert "make the index again" in message
    assert run("index", "images", "-o", "p.index", "--model", toy)[0] == 0


def test_unchanged_files_are_taken_over_and_again_embeds_them(run, toy, images):
    words = ["index", "images/red.png", "images/deep", "-o", "p.index", "--model", toy]
    assert run(*words)[1] == "2 images in p.index\n"
    assert run(*words)[1] == "2 images in p.index; unchanged: 2 files\n"
    assert json.loads(run(*words, "--json")[1])["unchanged"] == 2
    assert run(*words, "--again")[1] == "2 images in p.index\n"


def test_a_run_that_is_broken_off_leaves_what_it_has_and_goes_on(run, toy, images, monkeypatch):
    from vljepa.inference import indexing

    (images / "clip.mp4").write_bytes(b"x")
    words = ["index", "images", "-o", "p.index", "--model", toy]

    def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    with monkeypatch.context() as context:
        context.setattr(indexing, "read_segments", interrupt)
        assert run(*words)[0] == 130
    folder = images.parent
    assert (folder / "p.index.part").is_file()
    assert not (folder / "p.index").exists()
    assert "unchanged: 2 files" in run(*words)[1]
    assert not (folder / "p.index.part").exists()


@pytest.mark.parametrize("stranger", ["notes", "nothing", "an index"])
def test_a_file_at_the_place_of_the_part_that_is_not_one_is_refused_and_stays(fails, run, toy, images, stranger):
    part = images.parent / "p.index.part"
    if stranger == "an index":
        run("index", "images/red.png", "-o", "p.index.part", "--model", toy)
    else:
        part.write_bytes(b"dear diary" if stranger == "notes" else b"")
    before = part.read_bytes()

    message = fails("index", "images", "-o", "p.index", "--model", "nope")

    assert "'p.index.part' is there and was not left by an index that was broken off" in message
    assert part.read_bytes() == before


def test_a_file_that_comes_to_the_place_of_the_part_meanwhile_stays(run, toy, images, monkeypatch):
    from vljepa.inference.index import Index

    part = images.parent / "p.index.part"
    save = Index.save

    def save_late(index, file):
        save(index, file)
        part.write_bytes(b"dear diary")

    monkeypatch.setattr(Index, "save", save_late)
    assert run("index", "images", "-o", "p.index", "--model", toy)[0] == 0
    assert part.read_bytes() == b"dear diary"


def test_other_files_of_a_pattern_are_counted_and_named(run, toy, images, story):
    (images / "notes.txt").write_text("red")

    code, out, err = run("index", "images/*", "story.gif", "-o", "p.index", "--model", toy)

    assert code == 0
    assert out == "1 image and 3 segments of 1 video in p.index\n"
    assert [line.partition(": ")[0].strip() for line in err.splitlines()] == [
        "skipped 1 of 3 files:",
        "images/broken.png",
        "passed over 1 file that are no images or videos",
    ]
    assert err.endswith(": images/notes.txt\n")


def test_a_signal_while_the_index_is_being_written_does_not_cost_it(run, toy, images, monkeypatch):
    from vljepa.inference.index import Index

    save = Index.save

    def interrupted(index, file):
        os.kill(os.getpid(), signal.SIGTERM)
        save(index, file)

    monkeypatch.setattr(Index, "save", interrupted)
    assert run("index", "images", "-o", "p.index", "--model", toy)[:2] == (0, "2 images in p.index\n")
    assert (images.parent / "p.index").is_file()


def test_a_signal_in_a_long_video_keeps_all_that_is_done(run, toy, images):
    film = write_video(images / "film.mkv", count=20_000, fps=4, size=(32, 32))  # forty seconds of work
    words = ["index", "images", "-o", "p.index", "--model", toy]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_open(film, process)
        process.terminate()
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (143, "")
    assert err == "stopped by SIGTERM: all that was done is in p.index.part\n"
    assert not (images.parent / "p.index").exists()
    film.unlink()
    assert run(*words)[1] == "2 images in p.index; unchanged: 2 files\n"


def wait_until_open(file, process):
    """Until a process has a file open."""
    handles = Path(f"/proc/{process.pid}/fd")
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        for handle in handles.iterdir():
            try:
                if os.readlink(handle) == str(file):
                    return
            except OSError:  # closed meanwhile
                continue
        time.sleep(0.05)
    raise AssertionError(f"{file} was never opened: {process.stderr.read()}")
