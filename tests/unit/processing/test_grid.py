from vljepa.processing.grid import Grid


def test_the_grid_takes_one_frame_per_slot_at_a_rate_that_may_change():
    grid = Grid(4.0)

    assert [number for number in range(21) if grid.takes(number / 20)] == [0, 5, 10, 15, 20]
    grid.fps = 2.0
    assert [number for number in range(21, 61) if grid.takes(number / 20)] == [25, 35, 45, 55]
    assert grid.takes(100.0)
    assert not grid.takes(100.2)
