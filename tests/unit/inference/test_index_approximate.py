"""faiss finds candidates: its choice, its recall, filters, and what it has not got or no longer should have."""

from dataclasses import replace

import numpy as np
import pytest

from vljepa.errors import ConfigError, DataError
from vljepa.inference.index import approximate, nearest
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import table_of

COUNT, WIDTH = 3000, 32


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def cloud():
    """Rows in clusters, and queries like them."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(30, WIDTH))

    def some(count):
        return unit(centres[generator.integers(0, 30, count)] + 0.7 * generator.normal(size=(count, WIDTH)))

    return some(COUNT), some(40)


@pytest.fixture(scope="module")
def entries(cloud):
    made = [Entry(path=f"{n:05}.png", size=n, mtime=1.0) for n in range(COUNT)]
    return Shards({"a": table_of(made[:1000], cloud[0][:1000]), "b": table_of(made[1000:], cloud[0][1000:])})


def recall(entries, index, queries, **options):
    shares = []
    for query in queries:
        right = nearest.nearest(entries, None, query, k=10, **options).places
        found = nearest.nearest(entries, index, query, k=10, **options)
        assert len(found.places) == len(right)
        np.testing.assert_allclose(found.scores, entries.rows(found.places) @ query, atol=1e-6)
        shares.append(len(set(right) & set(found.places)) / len(right))
    return np.mean(shares)


@pytest.mark.parametrize(("factory", "least"), [("HNSW16", 0.95), ("HNSW16,SQ8", 0.95), ("IVF16,PQ16x4", 0.7)])
def test_it_finds_what_exact_search_finds(entries, cloud, tmp_path, monkeypatch, factory, least):
    monkeypatch.setattr(nearest, "EXACT_BELOW", 10)
    about = approximate.build(entries, tmp_path, factory=factory, queries=cloud[1])
    index = approximate.load(about, tmp_path, entries)

    assert about.recall >= least
    assert about.queries == 40
    assert recall(entries, index, cloud[1]) == pytest.approx(about.recall, abs=0.05)
    mask = np.arange(COUNT) % 20 == 0
    assert recall(entries, index, cloud[1], mask=mask) >= 0.9
    assert all(place % 20 == 0 for place in nearest.nearest(entries, index, cloud[1][0], k=10, mask=mask).places)


def test_a_narrow_filter_is_searched_exactly(entries, cloud, tmp_path):
    about = approximate.build(entries, tmp_path, factory="HNSW4", queries=cloud[1])
    index = approximate.load(about, tmp_path, entries)
    mask = np.arange(COUNT) % 500 == 0
    assert recall(entries, index, cloud[1], mask=mask) == 1


def test_files_that_are_gone_and_new_ones(entries, cloud, tmp_path):
    about = approximate.build(entries, tmp_path, factory="HNSW16", queries=cloud[1])
    fresh = table_of([Entry(path=f"new{n}.png", size=n, mtime=1.0) for n in range(50)], cloud[1][:1].repeat(50, axis=0))
    now = Shards({"b": entries.tables["b"], "new": fresh})

    index = approximate.load(about, tmp_path, now)

    found = nearest.nearest(now, index, cloud[1][0], k=60)
    assert [now[place].path for place in found.places[:50]] == sorted(f"new{n}.png" for n in range(50))
    assert (np.diff(found.scores) <= 0).all()
    assert recall(now, index, cloud[1][1:]) >= 0.9


def test_it_grows_and_is_made_anew_where_too_much_is_gone(entries, cloud, tmp_path):
    first = Shards({"a": entries.tables["a"]})
    about = approximate.build(first, tmp_path, factory="HNSW16", queries=cloud[1])
    grown = approximate.build(entries, tmp_path, factory="HNSW16", queries=cloud[1], earlier=about)
    assert grown.shards == {"a": 1000, "b": 2000}
    assert recall(entries, approximate.load(grown, tmp_path, entries), cloud[1]) >= 0.9
    rest = Shards({"a": entries.tables["a"]})
    anew = approximate.build(rest, tmp_path, factory="HNSW16", queries=cloud[1], earlier=grown)
    assert anew.shards == {"a": 1000}


@pytest.mark.parametrize(
    ("count", "width", "memory", "chosen"),
    [
        (199_999, 384, 24 << 30, None),
        (200_000, 384, 24 << 30, "HNSW32"),
        (1_000_000, 384, 24 << 30, "HNSW32"),
        (1_000_000, 1536, 16 << 30, "HNSW32,SQ8"),
        (10_000_000, 384, 32 << 30, "HNSW32,SQ8"),
        (10_000_000, 384, 8 << 30, "IVF16384,PQ96"),
        (100_000_000, 384, 64 << 30, "IVF32768,PQ96"),
    ],
)
def test_the_choice_by_size_and_memory(count, width, memory, chosen):
    assert approximate.choose(count, width, memory=memory) == chosen


def test_what_cannot_be(entries, cloud, tmp_path):
    with pytest.raises(ConfigError, match="faiss knows no index 'Nope'"):
        approximate.build(entries, tmp_path, factory="Nope", queries=cloud[1])
    about = approximate.build(entries, tmp_path, factory="HNSW4", queries=cloud[1])
    with pytest.raises(DataError, match="3000 rows of 32 numbers, which are not those that are listed"):
        approximate.load(replace(about, shards={"a": 1000}), tmp_path, entries)
    (tmp_path / about.file).write_bytes(b"no")
    with pytest.raises(DataError, match="is not an index of faiss"):
        approximate.load(about, tmp_path, entries)
    with pytest.raises(DataError, match="is not an index of faiss"):
        approximate.load(replace(about, file="none.faiss"), tmp_path, entries)
