"""Which frames of a connection are of now, by a clock of the test."""

from types import SimpleNamespace

import pytest

from vljepa.processing.arrivals import Lag, arrivals, of_now
from vljepa.processing.shots import Shot


class BrokenError(Exception):
    pass


def coming(monkeypatch, *frames, broken=False):
    """Frames of (arrival, own time)."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("vljepa.processing.arrivals.time", SimpleNamespace(monotonic=lambda: clock.now))

    def shots():
        for clock.now, when in frames:
            yield Shot(when, 0.1, lambda: None)
        if broken:
            raise BrokenError

    return shots()


BURST = [(0.01 * number, 0.1 * number) for number in range(10)]
PACED = [(0.09 + 0.1 * number, 0.9 + 0.1 * number) for number in range(1, 6)]


def times(found):
    return [(now, pytest.approx(shot.time)) for now, shot in found]


def test_of_a_burst_the_newest_frame_is_of_now(monkeypatch):
    found = list(of_now(coming(monkeypatch, *BURST, *PACED)))

    assert times(found) == [BURST[-1], *PACED]


def test_the_control_all_of_them_arrive(monkeypatch):
    assert times(arrivals(coming(monkeypatch, *BURST, *PACED))) == [*BURST, *PACED]


def test_frames_at_their_pace_all_come_and_so_does_what_is_quick_later(monkeypatch):
    assert times(of_now(coming(monkeypatch, *PACED, (0.6, 1.5), (0.6, 1.6)))) == [*PACED, (0.6, 1.5), (0.6, 1.6)]


def test_no_frame_is_held_for_more_than_a_second(monkeypatch):
    always_quick = [(0.02 * number, 0.1 * number) for number in range(100)]
    found = list(of_now(coming(monkeypatch, *always_quick)))

    assert len(found) == 50
    assert found[0][0] == pytest.approx(1.0)


@pytest.mark.parametrize("frames", [[], BURST[:1], BURST])
@pytest.mark.parametrize("broken", [False, True])
def test_what_ends_in_the_burst_gives_its_newest_frame(monkeypatch, frames, broken):
    found = []

    def watching():
        for one in of_now(coming(monkeypatch, *frames, broken=broken)):
            found.append(one)

    if broken:
        with pytest.raises(BrokenError):
            watching()
    else:
        watching()

    assert times(found) == frames[-1:]


def test_lag_is_what_a_frame_is_later_than_the_quickest_was():
    lag = Lag()

    assert lag.add(100.9, 0.0) == 0  # the burst
    assert lag.add(101.0, 1.0) == 0
    assert lag.add(102.0, 2.0) == pytest.approx(0.0, abs=0.02)
    assert lag.add(103.5, 3.0) == pytest.approx(0.5, abs=0.05)
    assert lag.add(104.0, 4.0) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("drift", [0.9999, 1.0001])
def test_a_clock_that_drifts_is_no_lag(drift):
    lag = Lag()

    assert max(lag.add(when, drift * when) for when in range(7 * 24 * 3600)) < 0.1


def test_a_pause_that_is_not_made_up_for_is_forgotten_in_minutes():
    lag = Lag()
    lag.add(0.0, 0.0)

    assert lag.add(5.0, 0.1) == pytest.approx(4.9, abs=0.1)
    assert [lag.add(5.0 + when, 0.1 + when) for when in range(600)][-1] == 0
