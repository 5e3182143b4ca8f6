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


def test_nothing_asked_is_everything(entries):
    assert not Among()
    assert Among().mask(entries).all()


def test_no_such_media():
    with pytest.raises(ConfigError, match="media is 'music'"):
        Among(media="music")
