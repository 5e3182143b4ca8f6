import pytest

from vljepa.processing.grid import Grid, on_screen
from vljepa.processing.shots import Shot


def test_the_grid_takes_one_frame_per_slot_at_a_rate_that_may_change():
    grid = Grid(4.0)

    assert [number for number in range(21) if grid.takes(number / 20)] == [0, 5, 10, 15, 20]
    grid.fps = 2.0
    assert [number for number in range(21, 61) if grid.takes(number / 20)] == [25, 35, 45, 55]
    assert grid.takes(100.0)
    assert not grid.takes(100.2)


@pytest.mark.parametrize("looking", [True, False])
def test_what_stays_on_the_screen_is_there_in_every_slot(looking):
    grid, found = Grid(2.0), []
    for shot in on_screen([Shot(time, length, None) for time, length in ((0.0, 0.2), (0.2, 1.9), (2.1, 1.0))], grid):
        if not looking:
            continue  # the control: whoever does not ask the grid gets each once
        if grid.takes(shot.time):
            found.append((shot.time, shot.duration))

    assert found == ([(0.0, 0.2), (0.5, 1.9), (1.0, 1.9), (1.5, 1.9), (2.0, 1.9), (2.5, 1.0), (3.0, 1.0)] * looking)


def test_slots_do_not_drift_with_frames_that_come_a_little_late():
    """Thirty frames per second do not fall on quarters of a second; four are taken in each all the same."""
    grid = Grid(4.0)
    taken = [number / 30 for number in range(60 * 30) if grid.takes(number / 30)]
    assert len(taken) == 240
    assert taken[-4:] == pytest.approx([59.0, 59.0 + 8 / 30, 59.5, 59.0 + 23 / 30])


def test_after_a_gap_the_slots_begin_anew():
    grid = Grid(4.0)
    assert [time for time in (0.0, 10.1, 10.2, 10.3, 10.36) if grid.takes(time)] == [0.0, 10.1, 10.36]
