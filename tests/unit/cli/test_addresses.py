"""Images at addresses: refused unless `--allow-urls`, then fetched and shown under their address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vljepa.cli.addresses import Fetched, is_address
from vljepa.cli.main import main
from vljepa.errors import ConfigError, ImageError
from vljepa.serving.errors import RequestError

CAT = Path(__file__).parents[3] / "examples" / "images" / "cat.jpg"
PLACE = "https://example.org/a%20b/cat.jpg?size=big"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A web that has one image; the addresses that were asked for."""
    asked: list[str] = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        if url != PLACE:
            raise RequestError(f"{url} gives nothing.", fix="send base64.")
        return CAT.read_bytes()

    monkeypatch.setattr("vljepa.serving.fetch.fetch_image", fetch)
    return asked


def test_an_address_is_refused_unless_it_is_allowed(web: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"is an address.*--allow-urls"):
        Fetched([PLACE], allowed=False)
    assert web == []


def test_what_was_fetched_is_a_file_for_as_long_as_it_is_needed(web: list[str]) -> None:
    fetched = Fetched(["a.jpg", PLACE], allowed=True)
    local, place = fetched.words
    assert local == "a.jpg"
    assert Path(place).read_bytes() == CAT.read_bytes()
    assert place.endswith("0_cat.jpg")
    assert (fetched.name(place), fetched.name("a.jpg")) == (PLACE, "a.jpg")
    del fetched
    assert not Path(place).exists()


def test_what_cannot_be_had_is_an_error_with_a_fix_for_a_command_line(web: list[str]) -> None:
    with pytest.raises(ImageError, match=r"gives nothing.*download the image first"):
        Fetched(["http://example.org/no.jpg"], allowed=True)
    fetched = Fetched([PLACE, "http://example.org/no.jpg"], allowed=True)
    assert len(fetched.words) == 1, "one that is gone does not end the others"
    assert fetched.skipped == [("http://example.org/no.jpg", "http://example.org/no.jpg gives nothing.")]


def test_a_private_address_is_never_asked() -> None:
    """By the server's own rule, not a stand-in."""
    with pytest.raises(ImageError, match=r"127\.0\.0\.1"):
        Fetched(["http://127.0.0.1:9/cat.jpg"], allowed=True)


@pytest.mark.parametrize(
    ("word", "found"), [("HTTPS://a/b", True), ("http://a", True), ("a.jpg", False), ("rtsp://a", False)]
)
def test_what_an_address_is(word: str, found: bool) -> None:
    assert is_address(word) is found


@pytest.mark.assets
def test_the_commands_show_the_address(web: list[str], tmp_path: Path, capsys: Any) -> None:
    def run(*words: str) -> Any:
        assert main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    allowed = [PLACE, "--allow-urls"]
    assert run("classify", *allowed, "--labels", "cat,rocket")["predictions"][0]["image"] == PLACE
    assert (
        run("ask", PLACE, "what is it?", "--allow-urls", "--choices", "a cat,a rocket")["predictions"][0]["image"]
        == PLACE
    )
    assert run("caption", *allowed)["captions"][0]["image"] == PLACE
    index = str(tmp_path / "a.index")
    assert main(["index", str(CAT), "-o", index]) == 0
    capsys.readouterr()
    hits = run("search", index, *allowed)["hits"]
    assert hits[0]["score"] == pytest.approx(1, abs=1e-4)
    assert main(["classify", PLACE, "--labels", "cat,rocket"]) == 2
    assert "--allow-urls" in capsys.readouterr().err
