import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

from vljepa.inference.selective import Segment
from vljepa.processing.video import Frame

COLOURS = ["red", "blue", "white"]


@pytest.fixture
def video(tmp_path, monkeypatch):
    """Working directory with a folder of frames: 3 s of each colour."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(36):
        Image.new("RGB", (8, 8), COLOURS[number // 12]).save(folder / f"{number:03}.png")
    return folder


def test_a_line_per_segment_and_the_saving_on_stderr(run, speaking_toy, video):
    code, out, err = run("stream", "frames", *speaking_toy)

    assert code == 0
    lines = out.splitlines()
    assert [line[:19] for line in lines] == ["[00:00.0 - 00:03.0]", "[00:03.0 - 00:06.0]", "[00:06.0 - 00:09.0]"]
    assert err.startswith("3 decodes instead of 9 at 1 Hz: 3.0x fewer; 9.0 s of video in ")


def test_offline_and_its_rate(run, speaking_toy, video):
    code, out, _ = run("stream", "frames", *speaking_toy, "--offline", "--rate", "0.5")

    assert code == 0
    assert len(out.splitlines()) == 4


def test_every_file_tells_the_same(run, speaking_toy, video):
    code, out, _ = run(
        *("stream", "frames", *speaking_toy, "--threshold", "0.2"),
        *("--srt", "a.srt", "--vtt", "a.vtt", "--jsonl", "a.jsonl", "--html", "a.html"),
    )

    assert code == 0
    assert len(out.splitlines()) == 3
    here = video.parent
    records = [json.loads(line) for line in (here / "a.jsonl").read_text().splitlines()]
    assert [(record["start"], record["end"]) for record in records] == [(0, 3), (3, 6), (6, 9)]
    # What an untrained decoder says may be nothing, which is no cue.
    spoken = [record for record in records if record["text"].strip()]
    assert (here / "a.srt").read_text().count(" --> ") == len(spoken) >= 1
    assert (here / "a.vtt").read_text().startswith(f"WEBVTT\n\n00:00:0{spoken[0]['start']:.0f}.000 --> 00:00:0")
    page = (here / "a.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert "<title>frames</title>" in page


@pytest.mark.parametrize(("kind", "begins"), [("srt", "1\n00:00"), ("vtt", "WEBVTT\n\n00:00"), ("jsonl", '{"start"')])
def test_one_kind_may_take_the_place_of_the_captions(run, speaking_toy, video, kind, begins):
    out = run("stream", "frames", *speaking_toy, f"--{kind}", "-")[1]

    assert out.startswith(begins)
    assert "[00:00.0" not in out


def test_what_cannot_work_fails_before_the_model_is_loaded(fails, video):
    nowhere = ["--model", "nope"]
    assert "there is no video 'none.mp4'" in fails("stream", "none.mp4", *nowhere)
    assert "cannot both go to stdout" in fails("stream", "frames", "--srt", "-", "--vtt", "-", *nowhere)
    assert "no folder 'none'" in fails("stream", "frames", "--srt", "none/a.srt", *nowhere)
    assert "does not end in .html" in fails("stream", "frames", "--html", "-", *nowhere)
    (video.parent / "folder.vtt").mkdir()
    assert "is a folder" in fails("stream", "frames", "--vtt", "folder.vtt", *nowhere)


def test_a_video_is_never_overwritten_by_its_subtitles(fails, video):
    clip = video.parent / "clip.mp4"
    clip.write_bytes(b"precious")

    assert "does not end in .srt" in fails("stream", "clip.mp4", "--srt", "clip.mp4", "--model", "nope")
    assert clip.read_bytes() == b"precious"


def test_a_file_that_is_there_survives_a_failing_run(fails, speaking_toy, video):
    (video.parent / "old.srt").write_text("old")
    (video.parent / "old.html").write_text("old")
    (video.parent / "clip.mp4").write_bytes(b"not a video")

    fails("stream", "clip.mp4", *speaking_toy, "--srt", "old.srt", "--html", "old.html")

    assert (video.parent / "old.srt").read_text() == (video.parent / "old.html").read_text() == "old"


def test_what_was_said_before_an_error_is_kept(run, speaking_toy, video):
    (video / "035.png").write_bytes(b"broken")

    code, out, err = run("stream", "frames", *speaking_toy, "--jsonl", "a.jsonl", "--html", "a.html")

    assert code == 2
    assert "unreadable: 1" in err
    assert len(out.splitlines()) == len((video.parent / "a.jsonl").read_text().splitlines()) == 3
    assert (video.parent / "a.html").read_text().endswith("</html>\n")


def test_a_model_without_words_says_what_to_do(fails, toy, video):
    message = fails("stream", "frames", "--model", toy)

    assert "no Y-Decoder" in message
    assert "--decoder" in message


def test_a_reader_that_has_enough_ends_it_quietly(speaking_toy, video):
    words = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())"]
    command = [*words, "stream", str(video), *speaking_toy, "--jsonl", "a.jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=video.parent) as process:
        process.stdout.close()  # like `head` that has already gone
        err = process.stderr.read().decode()
        code = process.wait(timeout=120)

    assert err == ""
    assert code == 141
    assert len((video.parent / "a.jsonl").read_text().splitlines()) == 1


@pytest.fixture
def endless(monkeypatch):
    """Frames without end, 3 s of each colour, that send the process signals at given times of the stream."""

    def endless(**signals):
        def frames(path, *, fps, max_pixels):
            for number in itertools.count():
                for name, when in signals.items():
                    if when == number / 4:
                        os.kill(os.getpid(), getattr(signal, name))
                yield Frame(Image.new("RGB", (8, 8), COLOURS[number // 12 % 3]), number / 4, number)

        monkeypatch.setattr("vljepa.inference.frame_sources.read_frames", frames)

    return endless


@pytest.mark.parametrize(("name", "expected"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_ends_it_with_the_open_segment_said(run, speaking_toy, video, endless, name, expected):
    endless(**{name: 10.0})
    before = signal.getsignal(getattr(signal, name))

    files = ["--jsonl", "a.jsonl", "--srt", "a.srt", "--html", "a.html"]
    code, out, err = run("stream", "frames", *speaking_toy, *files)

    assert code == expected
    records = [json.loads(line) for line in (video.parent / "a.jsonl").read_text().splitlines()]
    assert len(records) == len(out.splitlines()) >= 1
    assert records[0]["start"] == 0
    assert all(one["end"] == other["start"] for one, other in itertools.pairwise(records))
    assert records[-1]["end"] <= 10.5  # of a video without end: what had been seen when the signal came
    assert (video.parent / "a.srt").read_text().count(" --> ") == sum(bool(one["text"].strip()) for one in records)
    assert (video.parent / "a.html").read_text().endswith("</html>\n")
    assert "Traceback" not in err
    assert signal.getsignal(getattr(signal, name)) is before


def test_the_second_signal_does_not_wait(run, speaking_toy, video, endless, monkeypatch):
    endless(SIGINT=10.0)

    def stuck(self, segment, *, name):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr("vljepa.cli.stream_files.StreamFiles.add", stuck)
    monkeypatch.setattr("vljepa.inference.selective.SelectiveDecoder.push", lambda self, row, when, **classes: [])
    monkeypatch.setattr(
        "vljepa.inference.selective.SelectiveDecoder.close", lambda self: [Segment(0, 1, 0.5, 1.0, None)]
    )
    begin = time.monotonic()

    assert run("stream", "frames", *speaking_toy)[0] == 130
    assert time.monotonic() - begin < 50


def test_a_hostile_caption_cannot_steer_the_terminal(capsys, tmp_path):
    from vljepa.cli.stream_files import StreamFiles

    with StreamFiles({}) as files:
        files.add(Segment(start=0, end=1, time=0.5, coherence=1.0, embedding=None, text="\x1b[2J\nred"))

    assert capsys.readouterr().out == "[00:00.0 - 00:01.0] \\x1b[2J\\nred\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_without_permission_is_found_early(fails, video):
    video.parent.chmod(0o555)
    try:
        assert "cannot be written" in fails("stream", "frames", "--srt", "a.srt", "--model", "nope")
    finally:
        video.parent.chmod(0o755)
