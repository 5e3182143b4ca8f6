"""Which images make a group, and what is read meanwhile."""

import threading

import pytest
import torch

from vljepa.errors import ImageError
from vljepa.inference import reading
from vljepa.inference.reading import read_ahead


def pixels_of(number):
    return torch.full((1, 1, 3, 2, 2), float(number))


def test_groups_are_full_or_the_last_and_in_order():
    groups = list(read_ahead(pixels_of, list(range(10)), size=4, ahead=3, on_broken=None))

    assert [count for count, _, _ in groups] == [4, 4, 2]
    assert [kept for _, kept, _ in groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [float(one.mean()) for _, _, pixels in groups for one in pixels] == list(map(float, range(10)))
    assert list(read_ahead(pixels_of, [], size=4, ahead=3, on_broken=None)) == []


def test_a_group_of_large_images_is_full_sooner(monkeypatch):
    monkeypatch.setattr(reading, "_GROUP_BYTES", 3 * pixels_of(0).nbytes)

    groups = read_ahead(pixels_of, list(range(7)), size=64, ahead=8, on_broken=None)

    assert [count for count, _, _ in groups] == [3, 3, 1]


def test_so_many_are_read_ahead_and_no_more():
    asked, done = [], threading.Semaphore(0)

    def read(number):
        asked.append(number)
        done.release()
        return pixels_of(number)

    groups = read_ahead(read, list(range(100)), size=8, ahead=5, on_broken=None)
    next(groups)
    for _ in range(8 + 5):
        assert done.acquire(timeout=10)
    groups.close()

    assert sorted(asked) == list(range(13))


def test_what_is_not_begun_when_it_ends_is_left(monkeypatch):
    monkeypatch.setattr(reading, "_READERS", 1)
    asked = []

    def read(number):
        asked.append(number)
        raise ImageError(f"{number} is broken.", fix="mend it.")

    with pytest.raises(ImageError, match="0 is broken"):
        list(read_ahead(read, list(range(10_000)), size=8, ahead=10_000, on_broken=None))
    assert len(asked) < 10_000


def test_broken_ones_are_counted_and_named():
    def read(number):
        if number % 2:
            raise ImageError(f"{number} is broken.", fix="mend it.")
        return pixels_of(number)

    broken = []
    groups = read_ahead(read, list(range(6)), size=4, ahead=4, on_broken=lambda one, _: broken.append(one))

    assert [(count, kept, len(pixels)) for count, kept, pixels in groups] == [(4, [0, 2], 2), (2, [4], 1)]
    assert broken == [1, 3, 5]
