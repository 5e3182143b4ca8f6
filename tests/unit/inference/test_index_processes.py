"""Several processes make an index: nothing that takes long happens while others wait in a collective."""

from contextlib import contextmanager

import pytest

from vljepa.inference.index import Index, build


@pytest.fixture
def events(monkeypatch):
    """What happens, in order."""
    found = []

    @contextmanager
    def long_work(what):
        found.append(f"begin {what}")
        yield
        found.append(f"end {what}")

    def from_all_processes(here):
        found.append("collective")
        return [here]

    monkeypatch.setattr(build, "long_work", long_work)
    monkeypatch.setattr(build, "from_all_processes", from_all_processes)
    monkeypatch.setattr(build, "_plan", lambda *a, real=build._plan, **o: found.append("plan") or real(*a, **o))
    return found


def test_the_first_plans_before_the_collective_and_the_others_wait_by_heartbeats(
    model, processor, images, tmp_path, events
):
    Index.build(model, processor, images, output=tmp_path / "my.index")
    assert events == ["begin planning the index", "plan", "end planning the index", "collective"]
    events.clear()
    build.help_build(lambda units, folder: iter(()), tmp_path / "my.index")
    assert events == ["begin planning the index", "end planning the index", "collective"]


def test_alone_in_memory_nobody_is_waited_for(model, processor, images, events):
    Index.build(model, processor, images)
    assert events == ["plan"]
