import errno
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from vljepa.errors import CheckpointError
from vljepa.training import checkpoint
from vljepa.training.checkpoint import MANIFEST, STATE_FILE, find_intact, load_state, replace_folder, save_state


def writer(text):
    def write(folder):
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text(text)

    return write


def content(folder):
    place = find_intact(folder)
    return place and (place / "inner" / "file").read_text()


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def target(tmp_path, monkeypatch, request):
    """A checkpoint's place, on a file system that can let folders change places and on one that cannot."""
    if not request.param:
        monkeypatch.setattr(checkpoint, "_exchange", lambda *_: False)
    return tmp_path / "last"


def test_a_folder_is_replaced_whole(target):
    assert find_intact(target) is None
    for text in ("first", "second", "third"):
        replace_folder(target, writer(text))
        assert content(target) == text
        assert [path.name for path in target.parent.iterdir()] == ["last"]
    manifest = json.loads((target / MANIFEST).read_text())
    assert manifest["version"] == 3
    assert list(manifest["files"]) == ["inner/file"]


def test_folders_change_places_in_one_step(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    if not checkpoint._exchange(tmp_path / "one", tmp_path / "two"):
        pytest.skip("not on this file system")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["two"]
    assert not checkpoint._exchange(tmp_path / "one", tmp_path / "absent")


def test_a_crash_between_any_two_calls_leaves_a_version_that_loads(target, monkeypatch):
    """PITFALLS 22: every system call in turn is the last one before the crash."""

    class CrashError(BaseException):
        pass

    calls, limit = 0, 0

    def crashing(original):
        def call(*arguments, **settings):
            nonlocal calls
            calls += 1
            if calls == limit:
                raise CrashError
            return original(*arguments, **settings)

        return call

    replace_folder(target, writer("0"))
    newest, seen = 0, set()
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_flush", crashing(checkpoint._flush))
        patched.setattr(checkpoint, "_exchange", crashing(checkpoint._exchange))
        patched.setattr(checkpoint.shutil, "rmtree", crashing(checkpoint.shutil.rmtree))
        for name in ("rename", "replace", "mkdir"):
            patched.setattr(checkpoint.Path, name, crashing(getattr(checkpoint.Path, name)))
        for limit in range(1, 60):
            calls = 0
            try:
                replace_folder(target, writer(str(limit)))
            except CrashError:
                found = content(target)
                assert found in (str(newest), str(limit))
                seen.add(found == str(limit))
                newest = int(found)
            else:
                break
    assert seen == {True, False}, "the control: there were crashes on both sides of the swap"
    assert limit > 10
    assert content(target) == str(limit)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_folder(target, error):
    replace_folder(target, writer("old"))

    def fail(folder):
        writer("half")(folder)
        raise error

    with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt):
        replace_folder(target, fail)
    assert content(target) == "old"
    replace_folder(target, writer("new"))
    assert content(target) == "new"


@pytest.mark.parametrize("kind", ["safetensors", "state", "text"])
def test_a_full_disk_leaves_the_old_folder(target, kind):
    """A real limit of the system on a file's size; each library tells of it in its own way."""
    big = {"tensor": torch.zeros(60_000)}
    write = {
        "safetensors": lambda folder: save_file(big, folder / "model.safetensors"),
        "state": lambda folder: save_state(folder, big),
        "text": lambda folder: (folder / "text").write_text("x" * 240_000),
    }[kind]
    replace_folder(target, writer("old"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*last.*the older one is intact"):
            replace_folder(target, write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert content(target) == "old"
    assert [path.name for path in target.parent.iterdir()] == ["last"], "the half version does not keep the disk full"
    replace_folder(target, lambda folder: (writer("new")(folder), write(folder)))  # the control
    assert content(target) == "new"


def test_a_tiny_disk_leaves_the_old_folder(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        replace_folder(disk / "last", writer("old"))
        for write in (
            lambda folder: save_state(folder, {"tensor": torch.zeros(100_000)}),
            lambda folder: save_file({"tensor": torch.zeros(100_000)}, folder / "model.safetensors"),
        ):
            with pytest.raises(CheckpointError, match="cannot write"):
                replace_folder(disk / "last", write)
            assert content(disk / "last") == "old"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_denied_write_leaves_the_old_folder(tmp_path):
    replace_folder(tmp_path / "last", writer("old"))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from vljepa.errors import CheckpointError\nfrom vljepa.training.checkpoint import replace_folder\n"
        "try: replace_folder(Path(sys.argv[1]), lambda folder: None)\n"
        "except CheckpointError as error: sys.exit(str(error))\n"
    )
    # Root may write anywhere unless that right is taken from it.
    plain = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override"]
    if plain and not shutil.which("setpriv"):
        pytest.skip("root without setpriv")
    command = [*plain, sys.executable, "-c", code, str(tmp_path / "last")]
    tmp_path.chmod(0o555)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        tmp_path.chmod(0o755)
    assert "cannot write the checkpoint" in done.stderr
    assert "Permission denied" in done.stderr
    assert content(tmp_path / "last") == "old"
    assert subprocess.run(command, check=False).returncode == 0, "the control"
    assert json.loads((tmp_path / "last" / MANIFEST).read_text())["version"] == 2


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no manifest", "broken manifest"])
def test_a_damaged_folder_is_refused_or_skipped(target, damage, capsys):
    replace_folder(target, writer("old"))
    file, manifest = target / "inner" / "file", target / MANIFEST
    good = target.with_name("good")
    subprocess.run(["cp", "-r", target, good], check=True)
    {
        "cut": lambda: file.write_text("ol"),
        "changed": lambda: file.write_text("odd"),
        "missing": file.unlink,
        "no manifest": manifest.unlink,
        "broken manifest": lambda: manifest.write_text("{"),
    }[damage]()
    with pytest.raises(CheckpointError, match=r"last' is damaged: .*(file|manifest)"):
        find_intact(target)
    good.rename(target.with_name(".last.old"))
    assert content(target) == "old"
    assert "is damaged" in capsys.readouterr().err
    replace_folder(target, writer("new"))
    assert content(target) == "new"
    assert not capsys.readouterr().err


def test_a_version_that_was_not_finished_is_nobodys_business(target, capsys):
    target.with_name(".last.new").mkdir()
    assert find_intact(target) is None
    replace_folder(target, writer("whole"))
    target.with_name(".last.new").mkdir()
    assert content(target) == "whole"
    assert not capsys.readouterr().err


def test_state_comes_back(tmp_path):
    state = {"step": 3, "tensor": torch.arange(3), "nested": {"none": None, "text": "x", "list": [1.5]}}
    save_state(tmp_path, state)
    found = load_state(tmp_path, device=torch.device("cpu"))
    assert torch.equal(found.pop("tensor"), state.pop("tensor"))
    assert found == state


class Hostile:
    def __reduce__(self):
        return (open, ("pwned", "w"))


def test_code_in_a_state_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": Hostile()}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError, match="does not load"):
        load_state(tmp_path, device=torch.device("cpu"))
    (tmp_path / STATE_FILE).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="does not load"):
        load_state(tmp_path, device=torch.device("cpu"))
    assert not (tmp_path / "pwned").exists()


def test_a_missing_state_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"training\.pt"):
        load_state(tmp_path, device=torch.device("cpu"))
