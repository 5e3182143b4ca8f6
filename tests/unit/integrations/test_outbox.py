"""Events that wait: in order, tried again, never more than the queue holds, and whoever adds one never waits."""

from __future__ import annotations

import threading

from vljepa.integrations.outbox import Counts, Outbox, RefusedEventError


def test_what_fails_is_tried_again_in_order_and_said_once() -> None:
    said: list[str] = []
    taken: list[bytes] = []
    failures = iter([True, True, False])

    def send(event: bytes) -> None:
        if next(failures, False):
            raise ConnectionError("nobody there")
        taken.append(event)

    outbox = Outbox(send, first_wait=0.001, on_trouble=said.append)
    for number in range(3):
        outbox.put(b"%d" % number)
    assert outbox.close() == Counts(sent=3, retries=2)
    assert taken == [b"0", b"1", b"2"]
    assert said == ["nobody there; trying again", "sent again"]


def test_a_receiver_that_hangs_holds_nobody_up_and_the_oldest_are_dropped() -> None:
    entered, release = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def send(event: bytes) -> None:
        entered.set()
        assert release.wait(30)
        taken.append(event)

    outbox = Outbox(send, size=3)
    outbox.put(b"0")
    assert entered.wait(30)
    for number in range(1, 10):
        outbox.put(b"%d" % number)  # returns although the receiver hangs
    assert outbox.counts.dropped == 7
    release.set()
    counts = outbox.close()
    assert taken == [b"0", b"7", b"8", b"9"]
    assert counts == Counts(sent=4, dropped=6), "0 was dropped while it was on its way, and arrived"


def test_what_is_refused_is_left_and_the_next_one_goes() -> None:
    def send(event: bytes) -> None:
        if event == b"bad":
            raise RefusedEventError("it answers 400")

    outbox = Outbox(send)
    for event in (b"bad", b"good"):
        outbox.put(event)
    assert outbox.close() == Counts(sent=1, refused=1)


def test_there_is_an_end_although_nobody_is_there() -> None:
    def send(event: bytes) -> None:
        raise ConnectionError

    outbox = Outbox(send, first_wait=30.0)
    for _ in range(4):
        outbox.put(b"x")
    assert outbox.close(wait=0.05).dropped == 4


def test_at_the_end_a_receiver_that_is_back_gets_what_waits() -> None:
    """Although the pause at hand is longer than the end is."""
    back, tried = threading.Event(), threading.Event()
    taken: list[bytes] = []

    def send(event: bytes) -> None:
        tried.set()
        if not back.is_set():
            raise ConnectionError("nobody there")
        taken.append(event)

    outbox = Outbox(send, first_wait=3600.0)
    for number in range(3):
        outbox.put(b"%d" % number)
    assert tried.wait(30)
    back.set()
    assert outbox.close(wait=30.0) == Counts(sent=3, retries=1)
    assert taken == [b"0", b"1", b"2"]
