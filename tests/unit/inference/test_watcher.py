"""What the pace is decided by: the model's time with that for putting segments into words."""

from types import SimpleNamespace

import pytest

from vljepa.inference import watcher
from vljepa.inference.watcher import Watcher


def test_the_time_for_words_counts_as_busy(monkeypatch):
    """Embedding is quick here and words are slow: without their time the model would seem to idle."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(watcher.time, "perf_counter", lambda: clock.now)
    seen = []

    class Channel:
        over = False
        source = SimpleNamespace(live=True, drops=True)
        stats = SimpleNamespace(thumbnails=None, frames=3, dropped=0, lag=0.0)

        def push(self, row, way):
            for segment in ("a", "b"):
                clock.now += 2.0  # the decoder says it
                yield segment

        def end(self, error):
            return iter(())

    pace = SimpleNamespace(fps=4.0, observe=lambda now, *, busy, **state: seen.append(busy))
    embedder = SimpleNamespace(processor=SimpleNamespace(queries=lambda texts: {}))
    channel = Channel()
    whole = Watcher(embedder, [channel], query="", pace=pace, stop=None)

    def looks():
        for _ in range(3):
            whole._busy += 0.5  # the model embeds a frame
            clock.now += 0.5
            yield channel, (None, None)

    monkeypatch.setattr(whole, "_looks", looks)
    said = []
    for _, segment in whole.online():
        said.append(segment)
        clock.now += 100.0  # whoever takes the segments is no work of ours
    assert said == ["a", "b"] * 3
    assert seen == pytest.approx([4.5, 9.0, 13.5])
