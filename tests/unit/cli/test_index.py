import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.videos import write_video

COMMAND = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())"]


def test_a_folder_becomes_an_index(run, toy, images):
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
    assert "not an index" in fails("index", "images", "-o", "images", *nowhere)


def content(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_index_that_is_there_survives_a_failing_run(fails, run, toy, images):
    run("index", "images", "-o", "p.index", "--model", toy)
    before = content(images.parent / "p.index")
    for image in ("red.png", "deep/blue.jpg"):
        (images / image).write_bytes(b"broken")

    assert "none of the 3 files" in fails("index", "images", "-o", "p.index", "--model", toy)
    assert content(images.parent / "p.index") == before


def test_a_photo_is_never_overwritten_by_an_index(fails, run, toy, images):
    before = content(images)
    assert "not an index" in fails("index", "images", "-o", "images/red.png", "--model", "nope")
    assert "not an index" in fails("index", "images", "-o", "images", "--model", "nope")
    assert content(images) == before

    for _ in range(2):  # an index may be made again in its place
        assert run("index", "images", "-o", "p.index", "--model", toy)[0] == 0


def test_videos_become_segments(run, toy, images, story):
    code, out, err = run("index", "images/red.png", "story.gif", "-o", "p.index", "--model", toy)

    assert code == 0
    assert err == ""
    assert out == "1 image and 3 segments of 1 video in p.index\n"
    assert run("index", story, "-o", "q.index", "--model", toy, "--threshold", "100")[1] == (
        "1 segment of 1 video in q.index\n"
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


def test_an_index_of_another_version_is_replaced_and_not_searched(fails, run, toy, images):
    run("index", "images", "-o", "p.index", "--model", toy)
    manifest = images.parent / "p.index" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 5', '"version": 6'))

    message = fails("search", "p.index", "a fish", "--model", toy)

    assert "version 6; this vljepa reads 5" in message
    assert "make the index again" in message
    assert run("index", "images", "-o", "p.index", "--model", toy)[1] == "2 images in p.index\n"


def test_a_file_of_the_first_versions_is_named_and_stays(fails, toy, images):
    (images.parent / "p.index").write_bytes(b"safetensors")

    assert "is a file, and an index is a folder" in fails("search", "p.index", "a fish", "--model", toy)
    assert "is not an index, so it is not overwritten" in fails("index", "images", "-o", "p.index", "--model", "nope")


def test_unchanged_files_are_taken_over_and_again_embeds_them(run, toy, images):
    words = ["index", "images/red.png", "images/deep", "-o", "p.index", "--model", toy]
    assert run(*words)[1] == "2 images in p.index\n"
    assert run(*words)[1] == "2 images in p.index; unchanged: 2 files\n"
    assert json.loads(run(*words, "--json")[1])["unchanged"] == 2
    assert run(*words, "--again")[1] == "2 images in p.index\n"


def test_a_run_that_is_broken_off_leaves_what_it_has_and_goes_on(run, fails, toy, images, monkeypatch):
    from vljepa.inference.index import units

    (images / "clip.mp4").write_bytes(b"x")
    words = ["index", "images", "-o", "p.index", "--model", toy]

    def interrupt(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    with monkeypatch.context() as context:
        context.setattr(units, "read_segments", interrupt)
        assert run(*words)[0] == 130
    assert "is not finished" in fails("search", "p.index", "red", "--model", toy)
    assert "unchanged: 2 files" in run(*words)[1]
    assert run("search", "p.index", "red", "--model", toy)[0] == 0


def test_moved_and_removed_files_are_counted(run, toy, images):
    words = ["index", "images", "-o", "p.index", "--model", toy]
    run(*words)
    (images / "red.png").rename(images / "rose.png")
    (images / "deep" / "blue.jpg").unlink()

    assert run(*words)[1] == "1 image in p.index; moved: 1 file; gone: 1 file\n"


def test_files_are_taken_out(run, fails, toy, images, story):
    run("index", "images", "story.gif", "-o", "p.index", "--model", toy)
    words = ["index", "-o", "p.index", "--model", toy]

    assert run(*words, "--remove", "images/deep", "--remove", "*.gif")[1] == "removed: 2 files; 1 image in p.index\n"
    assert [hit["path"] for hit in json.loads(run("search", "p.index", "a", "--model", toy, "--json")[1])["hits"]] == [
        "images/red.png"
    ]
    assert "no file of the index matches 'none'" in fails(*words, "--remove", "none")
    assert "there is --remove with something else to do" in fails(*words, "images", "--remove", "red.png")
    assert "there is nothing to index" in fails(*words)


def test_near_duplicates_are_listed(run, fails, toy, images):
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)
    large.save(images / "large.png")
    large.resize((160, 120)).save(images / "small.png")
    words = ["-o", "p.index", "--model", toy, "--duplicates"]

    out = run("index", "images", *words, "--html", "same.html")[1]

    assert out.startswith("4 images in p.index\n1 group of near duplicates in ")
    assert ": 1 file beside the largest of each\n" in out
    files = [line.split("\u2502")[2].strip() for line in out.splitlines() if ".png" in line]
    assert files == ["large.png", "small.png"]
    page = (images.parent / "same.html").read_text()
    assert page.count("data:image/jpeg") == 2
    assert "1 (largest). " in page
    found = json.loads(run("index", *words, "--json")[1])
    assert found["images"] == 4
    assert [(one["path"], [two["path"] for two in one["duplicates"]]) for one in found["duplicates"]] == [
        ("large.png", ["small.png"])
    ]
    assert run("index", *words, "--bits", "0")[1].startswith("1 group of near duplicates")
    assert "--bits and --html are for --duplicates" in fails("index", "images", "-o", "p.index", "--bits", "3")
    assert "with something else to do" in fails("index", *words, "--remove", "red.png")


def test_faiss_when_asked_for(run, fails, toy, images):
    words = ["index", "images", "-o", "p.index", "--model", toy]
    assert (
        "searched by HNSW8, which finds 100.0% of the 10 nearest (200 texts)"
        in run(*words, "--approximate", "HNSW8")[1]
    )
    assert json.loads(run(*words, "--json", "--approximate", "HNSW8")[1])["approximate"]["factory"] == "HNSW8"
    assert run("search", "p.index", "red", "--model", toy)[0] == 0
    assert "faiss knows no index 'NoSuch'" in fails(*words, "--approximate", "NoSuch")
    assert json.loads(run(*words, "--json")[1])["approximate"] is None
    assert not list((images.parent / "p.index").glob("*.faiss"))


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


def test_a_kill_costs_nothing_that_is_done(run, toy, images, monkeypatch):
    """Not even in the middle of a long video: of 1,200 frames those of whole pieces are not embedded again."""
    from vljepa.inference.embed import Embedder

    write_video(images / "film.mkv", count=1_200, fps=4, size=(32, 32))
    words = ["index", "images", "-o", "p.index", "--model", toy]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        kept = wait_for_pieces(images.parent / "p.index" / "shards", process)
        process.kill()
        process.communicate(timeout=30)
    embedded, pixels = [], Embedder.pixels
    monkeypatch.setattr(Embedder, "pixels", lambda self, some: embedded.append(len(some)) or pixels(self, some))
    out = run(*words)[1]
    assert out.startswith("2 images and ")
    assert out.endswith("of 1 video in p.index; unchanged: 2 files\n")
    assert 0 < sum(embedded) <= 1_200 - kept * 512


def test_a_signal_in_a_long_video_keeps_all_that_is_done(run, toy, images):
    film = write_video(images / "film.mkv", count=20_000, fps=4, size=(32, 32))  # forty seconds of work
    words = ["index", "images", "-o", "p.index", "--model", toy]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_open(film, process)
        process.terminate()
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (143, "")
    assert err == "stopped by SIGTERM: the same command goes on from what was done\n"
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


def wait_for_pieces(folder, process):
    """Until pieces of a video are there, of a run that has more to do; how many there are."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        pieces = list(folder.glob("*-frames.arrow"))
        if pieces:
            return len(pieces)
        time.sleep(0.02)
    raise AssertionError(f"no piece was ever kept: {process.stderr.read()}")
