"""How large an index gets: the arithmetic, and that files are of that size."""

import numpy as np
import pytest

from vljepa.inference import index_size
from vljepa.inference.index import approximate
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import open_table, table_of, write_table
from vljepa.inference.index_size import choose, faiss_bytes, most_in_graph, most_on_disk, needed, row_bytes

COUNT, WIDTH = 4000, 16


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A shard of usual paths on the disk: its folder and entries."""
    folder = tmp_path_factory.mktemp("index")
    rows = np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)
    made = [
        Entry(path=f"2019/holiday/IMG_{n:05}.jpg", size=n, mtime=1.0 * n, content=f"{n:032x}") for n in range(COUNT)
    ]
    write_table(table_of(made, rows / np.linalg.norm(rows, axis=1, keepdims=True)), folder / "a.arrow")
    return folder, Shards({"a.arrow": open_table(folder / "a.arrow", width=WIDTH)})


def test_a_shard_is_as_large_as_it_is_said_to_be(written):
    assert (written[0] / "a.arrow").stat().st_size / COUNT == pytest.approx(row_bytes(WIDTH), rel=0.1)


@pytest.mark.parametrize("factory", ["HNSW32", "HNSW32,SQ8"])
def test_what_faiss_has_is_as_large_as_it_is_said_to_be(written, factory):
    folder, entries = written
    about = approximate.build(entries, folder, factory=factory, queries=entries.rows(np.arange(5)))
    assert (folder / about.file).stat().st_size / COUNT == pytest.approx(faiss_bytes(factory, WIDTH), rel=0.1)


def test_a_row_in_inverted_lists_is_as_large_as_it_is_said_to_be():
    import faiss

    assert faiss.index_factory(384, "IVF4,PQ96").code_size + 8 == faiss_bytes("IVF4,PQ96", 384)


def test_what_an_index_needs():
    assert needed(1000, 384).disk == 1000 * (4 * 384 + 100)
    assert needed(1000, 384).factory is None
    large = needed(100_000_000, 384, memory=24 << 30)
    assert large.memory == 100_000_000 * (96 + 8)
    assert large.disk == pytest.approx(174e9, rel=0.01)


@pytest.mark.parametrize("memory", [8 << 30, 24 << 30])
def test_limits_are_those_of_the_choice(memory):
    for factory, beyond in (("HNSW32", "HNSW32,SQ8"), ("HNSW32,SQ8", "IVF")):
        most = most_in_graph(factory, 384, memory=memory)
        assert choose(int(most * 0.94), 384, memory=memory) == factory
        assert choose(int(most * 1.06), 384, memory=memory).startswith(beyond)
    room = most_on_disk(10**11, 384, memory=memory)
    assert (
        needed(int(room * 0.94), 384, memory=memory).disk <= 10**11 < needed(int(room * 1.06), 384, memory=memory).disk
    )


def test_a_system_that_does_not_say_how_much_memory_there_is(monkeypatch):
    monkeypatch.delattr(index_size.os, "sysconf")
    assert index_size.machine_memory() == 8 << 30
