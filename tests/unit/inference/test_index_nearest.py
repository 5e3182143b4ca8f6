"""The order of results, also where very many are equal, and that no more is looked at than needed."""

import time

import numpy as np
import pytest

from vljepa.inference.index import nearest, recall
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import table_of


def shards(*sizes, rows, name="{:06}.png", **times):
    """Shards each of which is in the order of its paths; the paths of one are between those of the others."""
    start, tables = 0, {}
    for number, size in enumerate(sizes):
        places = range(number, number + len(sizes) * size, len(sizes))
        made = [Entry(path=name.format(place), size=1, mtime=1.0, **times) for place in places]
        tables[str(number)] = table_of(made, rows[start : start + size])
        start += size
    return Shards(tables)


def by_hand(entries, scores):
    named = [(-scores[place], entry.path, entry.start or 0.0) for place, entry in enumerate(entries)]
    return sorted(range(len(named)), key=named.__getitem__)


@pytest.mark.parametrize("k", [1, 5, 40, 89, 90, 200])
@pytest.mark.parametrize("masked", [False, True])
def test_equal_scores_come_in_the_order_of_paths_over_all_shards(k, masked):
    rows = np.eye(3, dtype=np.float32)[np.random.default_rng(0).integers(0, 3, 90)]
    entries = shards(20, 50, 20, rows=rows)
    query = np.array([0.8, 0.6, 0.0], dtype=np.float32)
    mask = np.arange(90) % 3 > 0 if masked else None

    found = nearest.nearest(entries, None, query, k=k, mask=mask)

    right = [place for place in by_hand(entries, rows @ query) if mask is None or mask[place]]
    assert found.places.tolist() == right[:k]


def test_the_best_segments_of_each_video():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 4)).astype(np.float32)
    made = [
        Entry(path=f"{n // 30}.mp4", size=1, mtime=1.0, start=n % 30, time=n % 30, end=n % 30 + 1) for n in range(300)
    ]
    entries, query = Shards({"a": table_of(made, rows)}), np.array([0.5, 0.5, 0.5, 0.5], dtype=np.float32)
    order, left, right = by_hand(entries, rows @ query), {f"{n}.mp4": 2 for n in range(10)}, []
    for place in order:
        left[made[place].path] -= 1
        right += [place] if left[made[place].path] >= 0 else []

    assert nearest.nearest(entries, None, query, k=12, per_video=2).places.tolist() == right[:12]
    assert nearest.nearest(entries, None, query, k=50, per_video=2).places.tolist() == right


def test_very_many_equal_rows_cost_no_more_than_others(monkeypatch):
    """All of them would have been named and sorted: a second and more for so many."""
    count = 200_000
    rows = np.zeros((count, 4), dtype=np.float32)
    rows[:, 0] = 1.0
    entries = shards(count // 2, count // 2, rows=rows)
    taken = []
    monkeypatch.setattr(Shards, "take", lambda *words, real=Shards.take: taken.append(len(words[2])) or real(*words))
    began = time.perf_counter()

    found = nearest.nearest(entries, None, rows[0], k=10)

    assert [entries[place].path for place in found.places] == [f"{n:06}.png" for n in range(10)]
    assert max(taken) == 20, "ten of each shard"
    assert time.perf_counter() - began < 0.5


def test_the_truly_nearest_of_many_queries_come_from_one_pass():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(20_000, 8)).astype(np.float32)
    rows[7] = np.nan
    queries = generator.normal(size=(30, 8)).astype(np.float32)
    entries, read = shards(9000, 11_000, rows=rows), []

    class Block(np.ndarray):
        def __getitem__(self, places):
            read.append(places)
            return np.asarray(super().__getitem__(places))

    entries.blocks = [block.view(Block) for block in entries.blocks]

    found = recall.truly_nearest(entries, queries)

    assert read == [slice(start, start + 8192) for start in (0, 8192, 0, 8192)]
    for query, places in zip(queries, found, strict=True):
        scores = np.nan_to_num(rows @ query, nan=-9)
        assert set(places.tolist()) == set(np.argsort(-scores)[:10].tolist())
    assert recall.truly_nearest(shards(4, rows=rows[:4]), queries).shape == (30, 4)


def test_the_least_effort_that_is_enough():
    shares = {16: 0.5, 32: 0.9, 64: 0.951, 128: 0.99}
    assert recall.least_effort(shares.__getitem__) == (64, 0.951)
    assert recall.least_effort(lambda effort: effort / 1000) == (512, 0.512)
