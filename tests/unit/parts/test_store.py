"""Where the cache is, and that nothing damaged is taken for whole."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.parts.tiny_asset import MEMBERS
from vljepa.errors import AssetError
from vljepa.parts import store
from vljepa.parts.fetch import fetch
from vljepa.parts.manifest import ASSETS
from vljepa.parts.store import asset_folder, cache_home, is_fetched, verify


def test_home_is_what_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "mine"))
    assert cache_home() == tmp_path / "mine"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "x/vljepa"),
        ("linux", None, ".cache/vljepa"),
        ("darwin", None, "Library/Caches/vljepa"),
        ("win32", "LOCALAPPDATA", "x/vljepa"),
    ],
)
def test_home_follows_the_platform(monkeypatch, tmp_path, platform, variable, expected):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLJEPA_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(store.sys, "platform", platform)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "x"))
    assert cache_home() == tmp_path / Path(expected)


def test_absent_asset_names_the_command(tiny):
    assert not is_fetched("tiny")
    for ask in (asset_folder, verify):
        with pytest.raises(AssetError, match="vljepa assets fetch tiny"):
            ask("tiny")


def test_whole_asset_has_no_damage(tiny):
    fetch("tiny")
    assert is_fetched("tiny")
    assert verify("tiny") == []


def cut_short(folder):
    (folder / "model.safetensors").write_bytes(b"half")


def remove(folder):
    (folder / "model.safetensors").unlink()


def forget_manifest(folder):
    (folder / "manifest.json").unlink()


def break_manifest(folder):
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize(
    ("harm", "file"),
    [
        (cut_short, "model.safetensors"),
        (remove, "model.safetensors"),
        (forget_manifest, "manifest.json"),
        (break_manifest, "manifest.json"),
    ],
)
def test_visible_damage_is_seen_at_every_use(tiny, harm, file):
    harm(fetch("tiny"))
    assert not is_fetched("tiny")
    assert [damage.file for damage in verify("tiny")] == [file]
    with pytest.raises(AssetError, match=rf"{file} .* Fix: run `vljepa assets fetch --force tiny`"):
        asset_folder("tiny")
    fetch("tiny")
    assert verify("tiny") == []


def test_changed_bytes_of_the_same_size_are_found_by_verify(tiny):
    (fetch("tiny") / "model.safetensors").write_bytes(bytes(256))
    assert is_fetched("tiny")
    assert [damage.file for damage in verify("tiny")] == ["model.safetensors"]


@pytest.mark.parametrize(("pinned", "found"), [(True, ["model.safetensors"]), (False, [])])
def test_manifest_changed_with_the_file_does_not_hide_a_pinned_change(tiny, monkeypatch, pinned, found):
    right = next(member.sha256 for member in tiny.members if member.path.endswith("safetensors"))
    folder = fetch("tiny")
    (folder / "model.safetensors").write_bytes(bytes(256))
    (folder / "manifest.json").unlink()
    store.write_manifest(tiny, folder)
    monkeypatch.setitem(ASSETS, "tiny", replace(tiny, outputs={"model.safetensors": right} if pinned else {}))
    assert [damage.file for damage in verify("tiny")] == found


def test_another_version_is_fetched_anew(tiny):
    manifest = fetch("tiny") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": "0.0.9"}))
    with pytest.raises(AssetError, match=r"of version 0\.0\.9, this release needs 0\.1\.0"):
        asset_folder("tiny")
    fetch("tiny")
    assert is_fetched("tiny")


def test_manifest_lists_size_and_hash_of_every_file(tiny):
    files = json.loads((fetch("tiny") / "manifest.json").read_text())["files"]
    expected = {Path(member.path).name: {"sha256": member.sha256, "size": member.size} for member in tiny.members}
    assert files == expected
    assert len(files) == len(MEMBERS)
