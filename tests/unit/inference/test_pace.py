import pytest

from vljepa.inference.pace import Pace


class Machine:
    """A model that looks at `speed` frames per second, and a source that has always more."""

    def __init__(self, pace, *, speed):
        self.pace, self.speed = pace, speed
        self.now = self.busy = 0.0
        self.frames = self.dropped = 0
        self.lag = 0.0
        self.read = 1e9  # frames per second that can be decoded and prepared
        self.rates = []

    def run(self, seconds):
        for _ in range(int(seconds)):
            wanted = self.pace.fps
            given = min(wanted, self.read)
            looked = min(given, self.speed)
            self.lag = max(0.0, self.lag + 1 - self.read / wanted)
            self.now += 1
            self.busy += looked / self.speed
            self.frames += looked
            self.dropped += given - looked
            if self.pace.observe(self.now, busy=self.busy, frames=self.frames, dropped=self.dropped, lag=self.lag):
                self.rates.append(self.pace.fps)


def test_a_quick_machine_keeps_the_full_rate():
    machine = Machine(Pace(highest=4.0, lowest=1.0), speed=40)
    machine.run(600)

    assert machine.rates == []


def test_a_slow_machine_is_asked_for_less_until_it_keeps_up():
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=1.2)
    machine.run(3600)

    assert machine.rates == [2.0, 1.0]
    late = machine.dropped
    machine.run(600)
    assert machine.dropped == late


def test_it_never_falls_below_the_lowest():
    machine = Machine(Pace(highest=4.0, lowest=1.5), speed=0.1)
    machine.run(600)

    assert machine.rates == [2.0, 1.5]
    assert Pace(highest=4.0, lowest=9.0).fps == 4.0


def test_it_comes_back_when_the_machine_recovers_and_not_before_some_time():
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=1.2)
    machine.run(60)
    machine.speed = 40
    machine.run(10)
    assert machine.rates == [2.0, 1.0]
    machine.run(120)

    assert machine.rates == [2.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("idle", [0, 60, 24 * 3600])
def test_however_long_all_was_well_it_comes_back_after_fifteen_good_seconds(idle):
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=40)
    for _ in range(6):
        machine.speed = 40
        machine.run(idle)
        machine.speed = 2.6
        machine.run(11)
        assert machine.rates.pop() == 2.0
        machine.speed = 40
        begin = machine.now
        while not machine.rates and machine.now < begin + 1000:
            machine.run(1)
        assert machine.rates.pop() == 4.0
        assert machine.now - begin <= 20  # three windows of 5 s, after the one that had begun
        machine.run(30)


def test_patience_that_a_bad_day_has_cost_comes_back_with_a_good_one():
    machine = Machine(Pace(highest=4.0, lowest=1.0), speed=40)

    def seconds_to_come_back():
        machine.speed = 1.0
        machine.run(15)
        machine.speed = 40
        begin = machine.now
        while machine.rates[-1] < 4.0:
            machine.run(1)
        return machine.now - begin

    bad = [seconds_to_come_back() for _ in range(6)]
    machine.run(24 * 3600)

    assert bad[-1] > 4 * bad[0]
    assert seconds_to_come_back() <= bad[0]


def test_frames_that_come_ever_later_are_too_many_though_none_is_dropped():
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=40)
    machine.read = 1.5
    machine.run(30)

    assert machine.rates == [2.0, 1.0]
    assert machine.dropped == 0


def test_what_was_late_is_caught_up_with_before_the_rate_is_raised():
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=40)
    machine.read = 2.5
    machine.run(11)
    assert machine.rates == [2.0]
    assert machine.lag > 3
    machine.lag = 30.0
    machine.run(100)  # it catches up by a quarter of a second per second

    assert machine.rates == [2.0]
    assert machine.lag > 1
    machine.run(40)
    assert machine.rates[:2] == [2.0, 4.0]


@pytest.mark.parametrize("lag", [0.9, 30.0])
def test_a_delay_that_does_not_grow_or_is_small_lowers_nothing(lag):
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=40)
    machine.lag = lag
    machine.read = 4.0
    for second in range(120):
        machine.run(1)
        machine.lag = lag + (5.0 if second % 3 else 0.0)  # held up now and then

    assert len(machine.rates) <= 1  # at most for the first sight of it


@pytest.mark.parametrize("speed", [1.9, 2.6, 3.3])
def test_it_does_not_swing_on_a_steady_machine(speed):
    machine = Machine(Pace(highest=4.0, lowest=0.5), speed=speed)
    machine.run(24 * 3600)

    assert len(machine.rates) <= 2


def test_on_a_machine_that_comes_and_goes_it_gets_ever_more_patient():
    machine = Machine(Pace(highest=4.0, lowest=1.0), speed=40)
    changes = []
    for _ in range(4):
        before = len(machine.rates)
        for _ in range(40):
            machine.speed = 40
            machine.run(45)
            machine.speed = 1.0
            machine.run(15)
        changes.append(len(machine.rates) - before)

    assert changes[-1] < changes[0]
