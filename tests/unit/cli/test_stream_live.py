"""`vljepa stream` on live sources: real processes, a server that is killed or halted, standard input, two sources."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from PIL import Image

from tests.live import LiveServer, standard_input
from vljepa.inference.notices import Notice
from vljepa.inference.selective import Segment
from vljepa.inference.stream_stats import StreamStats

COMMAND = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())", "stream"]


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Working directory with two folders of frames, 3 s of each colour."""
    monkeypatch.chdir(tmp_path)
    for name, colours in {"door": ("red", "blue"), "yard": ("white", "black")}.items():
        (tmp_path / name).mkdir()
        for number in range(24):
            Image.new("RGB", (8, 8), colours[number // 12]).save(tmp_path / name / f"{number:03}.png")
    return tmp_path


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(process, words):
    """Read stderr up to a line with these words."""
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"the process ended without {words!r}")


@pytest.mark.parametrize(("trouble", "number", "code"), [("away", signal.SIGUSR1, 138), ("hangs", signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_while_its_source_is_away_or_hangs(speaking_toy, tmp_path, trouble, number, code):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("jsonl", "html")}
    outputs = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    with LiveServer(seconds=1.0) as server:
        address = server.address(user="me:geheim@")
        patience = ["--max-wait", "3000", "--timeout", "300", "--min-fps", "4"]
        command = [*COMMAND, address, *speaking_toy, *outputs, *patience]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            said = [process.stdout.readline()]
            if trouble == "away":
                server.kill()
                wait_for(process, "lost: ")
                server.start()
                wait_for(process, "back: ")
                said += [process.stdout.readline(), process.stdout.readline()]  # what the loss closed, and a new one
                server.kill()
                wait_for(process, "lost: ")
                time.sleep(1.0)  # in the growing waits
            else:
                server.halt()
                time.sleep(1.5)
            begin = time.monotonic()
            process.send_signal(number)
            rest, err = process.communicate(timeout=120)
            seconds = time.monotonic() - begin

    assert process.returncode == code, err
    assert seconds < 20
    said = [*(line.rstrip("\n") for line in said), *rest.splitlines()]
    assert all(datetime.fromisoformat(line.partition(" ")[0]).tzinfo for line in said)
    records = lines_of(files["jsonl"])
    segments = [record for record in records if "text" in record]
    assert len(segments) == len(said)
    assert all(datetime.fromisoformat(one["began"]) < datetime.fromisoformat(one["ended"]) for one in segments)
    events = [record for record in records if "event" in record and record["event"] != "retry"]
    kinds = ["lost", "back", "lost", "end"] if trouble == "away" else ["end"]
    assert [event["event"] for event in events] == kinds
    assert records[-1]["decodes"] == len(segments)
    if trouble == "away":
        _, back, lost, end = events
        before = [one for one in segments if one["end"] <= back["since"] + 0.5]
        after = [one for one in segments if one["start"] >= back["time"]]
        assert [*before, *after] == segments
        assert len(before) >= 2  # one on its own, one that the loss has closed
        assert before[0]["start"] == 0
        assert after[0]["start"] == back["time"]
        assert after[-1]["end"] == pytest.approx(lost["time"], abs=0.5)
        assert end["gaps"] == 1
    assert files["html"].read_text().endswith("</html>\n")
    assert "geheim" not in "".join(said) + err + files["jsonl"].read_text() + files["html"].read_text()
    assert "Traceback" not in err


@pytest.mark.parametrize("place", ["file", "stdout"])
def test_what_happened_before_the_first_caption_is_told_even_without_one(run, speaking_toy, tmp_path, place):
    path = tmp_path / "said.jsonl"
    output = path if place == "file" else "-"
    address = "http://me:geheim@127.0.0.1:9/x"
    options = ["--retries", "1", "--max-wait", "0.1", "--srt", tmp_path / "old.srt"]
    (tmp_path / "old.srt").write_text("old")
    code, out, _ = run("stream", address, *speaking_toy, "--jsonl", output, *options)

    assert code == 2
    records = [json.loads(line) for line in (path.read_text() if place == "file" else out).splitlines()]
    assert [record["event"] for record in records] == ["retry", "gone", "end"]
    assert (records[-1]["frames"], records[-1]["decodes"]) == (0, 0)
    assert (tmp_path / "old.srt").read_text() == "old"


def test_what_happened_before_the_first_caption_comes_first(tmp_path, capsys):
    from vljepa.cli.stream_files import StreamFiles

    now = datetime.now(UTC)
    path, stats = tmp_path / "said.jsonl", StreamStats()
    stats.live = True
    with StreamFiles({"jsonl": str(path)}) as files:
        for kind in ("retry", "back"):
            files.tell(Notice("door", kind, 0.0, now, "..."))
        files.add(Segment(start=0, end=1, time=0.5, coherence=1.0, embedding=None, text="red"))
        files.tell(Notice("door", "lost", 1.0, now, "..."))
        files.sum_up({"door": stats})

    assert [record.get("event", "caption") for record in lines_of(path)] == ["retry", "back", "caption", "lost", "end"]


@pytest.mark.parametrize("live", [True, False])
def test_lines_of_a_live_source_come_after_those_of_the_run_before(tmp_path, live):
    from vljepa.cli.stream_files import StreamFiles

    path = tmp_path / "said.jsonl"
    path.write_text('{"event": "end"}\n{"torn')
    with StreamFiles({"jsonl": str(path)}, live=live) as files:
        files.add(Segment(start=0, end=1, time=0.5, coherence=1.0, embedding=None, text="red"))

    *before, last = path.read_text().splitlines()
    assert before == (['{"event": "end"}', '{"torn'] if live else [])
    assert json.loads(last)["text"] == "red"


def test_images_from_a_pipe(run, speaking_toy, tmp_path):
    def send(file):
        for number in range(36):
            Image.new("RGB", (32, 32), ["red", "blue", "white"][number // 12]).save(file, "JPEG")

    path = tmp_path / "said.jsonl"
    with standard_input(send):
        code, _, err = run("stream", "-", "--source-fps", "4", *speaking_toy, "--jsonl", path)

    assert code == 0, err
    segments = [record for record in lines_of(path) if "text" in record]
    assert [(one["start"], one["end"]) for one in segments] == [(0, 3), (3, 6), (6, 9)]
    assert lines_of(path)[-1]["event"] == "end"
    assert "-: 0 frames dropped, looked at within " in err


def test_two_sources_are_told_apart(run, speaking_toy, folders):
    code, out, err = run("stream", "door", "yard", *speaking_toy, "--jsonl", "said.jsonl")

    assert code == 0
    assert sorted(line.partition("] ")[2].partition(":")[0] for line in out.splitlines()) == ["door"] * 2 + ["yard"] * 2
    records = lines_of(folders / "said.jsonl")
    assert sorted((one["source"], one["start"]) for one in records) == [
        ("door", 0.0),
        ("door", 3.0),
        ("yard", 0.0),
        ("yard", 3.0),
    ]
    assert err.startswith("door: 2 decodes")


def test_one_of_two_that_cannot_be_reached_is_said_and_the_other_is_told(run, speaking_toy, folders):
    code, out, err = run("stream", "http://me:geheim@127.0.0.1:9/x", "door", *speaking_toy, "--retries", "0")

    assert code == 2
    assert len(out.splitlines()) == 2
    assert "1 of 2 sources failed: 'http://127.0.0.1:9/x' cannot be reached: connection refused." in err
    assert "geheim" not in err


def test_what_cannot_work_fails_before_the_model_is_loaded(fails, folders):
    nowhere = ["--model", "nope"]
    assert "--srt is for one source, not 2" in fails("stream", "door", "yard", "--srt", "a.srt", *nowhere)
    assert "--html is for one source" in fails("stream", "door", "yard", "--html", "a.html", *nowhere)
    assert "--offline is for one source" in fails("stream", "door", "yard", "--offline", *nowhere)
    assert "a live source has no end" in fails("stream", "rtsp://door/", "--offline", *nowhere)
    assert "no video 'none.mp4'" in fails("stream", "door", "none.mp4", *nowhere)
    assert "no address of a live source" in fails("stream", "gopher://door/", *nowhere)
    assert "--size '640' is no size" in fails("stream", "-", "--size", "640", *nowhere)
    assert "--size '0x9' is no size" in fails("stream", "-", "--size", "0x9", *nowhere)
    assert "retries = -1" in fails("stream", "rtsp://door/", "--retries", "-1", *nowhere)
    assert "timeout = 0" in fails("stream", "rtsp://door/", "--timeout", "0", *nowhere)
    assert "once only" in fails("stream", "-", "-", *nowhere)
