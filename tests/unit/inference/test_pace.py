import pytest

from vljepa.inference.pace import Pace


class Machine:
    """A model that looks at `speed` frames per second, and a source that has always more."""

    def __init__(self, pace, *, speed):
        self.pace, self.speed = pace, speed
        self.now = self.busy = 0.0
        self.frames = self.dropped = 0
        self.rates = []

    def run(self, seconds):
        for _ in range(int(seconds)):
            wanted = self.pace.fps
            looked = min(wanted, self.speed)
            self.now += 1
            self.busy += looked / self.speed
            self.frames += looked
            self.dropped += wanted - looked
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
