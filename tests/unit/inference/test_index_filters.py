"""Among which files the nearest are looked for."""

from datetime import datetime

import numpy as np
import pytest

from vljepa.errors import ConfigError
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.filters import Among
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import table_of

PATHS = ("deep/b.gif", "old/2019/a.png", "f\u00fc/\u00e4.jpg", "X.GIF", "a[b].png", "old/film.mp4", "old/film.mp4")


@pytest.fixture(scope="module")
def entries():
    made = [
        Entry(path=path, size=1, mtime=datetime(2020 + number, 1, 1).timestamp()) for number, path in enumerate(PATHS)
    ]
    times = {"start": 0.0, "time": 0.5, "end": 1.0}
    made[-2:] = [Entry(path=PATHS[-1], size=1, mtime=0.0, **times)] * 2
    rows = np.ones((len(made), 3), dtype=np.float32)
    return Shards({"a": table_of(made[:3], rows[:3]), "b": table_of(made[3:], rows[3:])})


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("*.gif", [0]),
        ("deep", [0]),
        ("b", []),
        ("deep/b*", [0]),
        ("b*/deep", []),
        ("old", [1, 5, 6]),
        ("old/2019", [1]),
        ("2019", [1]),
        ("old/2019/", [1]),
        ("*", [0, 1, 2, 3, 4, 5, 6]),
        ("?.jpg", [2]),
        ("f?", [2]),
        ("[a-z].png", [1]),
        ("[!a-m].*", [2, 3]),
        ("a[[]b].png", [4]),
        ("old/*.mp4", [5, 6]),
        ("*/a.png", []),
        ("old/*/a.png", [1]),
        ("[\u00e4\u00f6].jpg", [2]),
        ("[a\u00e0-\u00ff].jpg", [2]),
        ("f[a-z\u00fc]", [2]),
        ("[!a-z].jpg", [2]),
        ("old[/]2019", []),
        ("[.-0]*", []),
        ("[]a-].png", [1]),
        ("a[[-]b].png", [4]),
        ("a[[]b[]].png", [4]),
    ],
)
def test_patterns(entries, pattern, places):
    assert np.flatnonzero(Among(include=[pattern]).mask(entries)).tolist() == places
    rest = [place for place in range(len(PATHS)) if place not in places]
    assert np.flatnonzero(Among(exclude=[pattern]).mask(entries)).tolist() == rest


@pytest.mark.parametrize(
    ("limits", "places"),
    [
        ({"since": datetime(2021, 1, 1)}, [1, 2, 3, 4]),
        ({"until": datetime(2021, 1, 1)}, [0]),
        ({"since": datetime(2021, 6, 1), "until": datetime(2023, 6, 1)}, [2, 3]),
        ({"media": "videos"}, [5, 6]),
        ({"media": "images", "include": ["old"]}, [1]),
        ({"only": lambda path: path.startswith("f")}, [2]),
        ({"include": ["old", "deep"], "exclude": ["*.png"]}, [0, 5, 6]),
    ],
)
def test_limits_all_hold(entries, limits, places):
    assert Among(**limits)
    assert np.flatnonzero(Among(**limits).mask(entries)).tolist() == places


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("[z-a].png", "'\\[z-a\\].png' has the range z-a, which ends before it begins"),
        ("[a-\U0001f600]", "has more than 1000 characters"),
        ("[!\u00e4]*", "leaves out '\u00e4', and only characters of ASCII can be"),
    ],
)
def test_a_pattern_that_is_none_is_refused_in_words(entries, pattern, message):
    for limits in ({"include": [pattern]}, {"exclude": [pattern]}):
        with pytest.raises(ConfigError, match=message):
            Among(**limits).mask(entries)


@pytest.mark.parametrize("piece", [chr(code) for code in range(33, 127) if chr(code) not in "/"])
def test_any_character_may_be_in_a_set(entries, piece):
    """None of them is anything else to the engine of expressions; a name with it is found, and no other."""
    made = [Entry(path=f"x{one}", size=1, mtime=1.0) for one in (piece, "\u00df", "~~")]
    other = Shards({"a": table_of(made, np.ones((3, 3), dtype=np.float32))})
    assert np.flatnonzero(Among(include=[f"x[{piece}]"]).mask(other)).tolist() == ([0] if piece != "!" else [])


def test_nothing_asked_is_everything(entries):
    assert not Among()
    assert Among().mask(entries).all()


def test_no_such_media():
    with pytest.raises(ConfigError, match="media is 'music'"):
        Among(media="music")
