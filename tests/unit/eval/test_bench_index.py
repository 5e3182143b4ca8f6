"""The bench of embedding files: its other ways give the same rows, and what it counts."""

import numpy as np
import pytest
from PIL import Image

from eval.bench import embedders, index
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.inference.embed import Embedder
from vljepa.inference.media import find_media
from vljepa.processing.processor import VLJEPAProcessor


@pytest.fixture(scope="module")
def embedder():
    return Embedder(VLJEPA(load_preset("toy")), VLJEPAProcessor(load_preset("toy")))


@pytest.fixture
def files(tmp_path):
    draw = np.random.default_rng(0)
    for number in range(10):
        coarse = Image.fromarray(draw.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        coarse.resize((70, 50), Image.Resampling.BICUBIC).save(tmp_path / f"{number}.jpg", quality=95)
    return sorted(map(str, tmp_path.glob("*.jpg")))


def test_a_data_loader_of_ones_own_gives_the_same_rows(embedder, files, monkeypatch):
    monkeypatch.setattr(embedders, "WORKERS", 0)
    rows = embedders.with_data_loader(embedder, files)
    others = embedder.images(files)

    assert (rows * others).sum(1).min() > 0.999
    assert (rows * np.roll(others, 1, axis=0)).sum(1).min() < 0.999, "the control"


def test_every_switch_gives_rows_and_leaves_nothing_switched(embedder, files, monkeypatch):
    monkeypatch.setattr(index.importlib.util, "find_spec", lambda name: None)  # no onnxruntime
    before = embedder.images(files)
    works = index._switches(embedder, files, "toy")

    assert min(index._cosines({"plain": lambda: before, **works}).values()) > 0.99
    np.testing.assert_array_equal(embedder.images(files), before)


def test_medians_and_ratios_of_turns_without_the_first(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(index.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(index.time, "process_time", lambda: 2 * now[0])
    slow, quick = iter([50.0, 4.0, 8.0, 2.0]), iter([70.0, 2.0, 2.0, 2.0])
    works = {
        "slow": lambda: now.__setitem__(0, now[0] + next(slow)),
        "quick": lambda: now.__setitem__(0, now[0] + next(quick)),
    }

    found = index._in_turns(works, count=8, rounds=3, beside="slow")

    assert found["slow"] == {"per_second": 2.0, "per_processor_second": 1.0, "ratio": 1.0}
    assert found["quick"] == {"per_second": 4.0, "per_processor_second": 2.0, "ratio": 2.0}


def test_small_files_are_as_many_as_asked_for(tmp_path):
    index._small(tmp_path / "images", 1030)

    assert len(find_media(tmp_path / "images").images) == 1030
    assert sorted(one.name for one in (tmp_path / "images").iterdir() if one.is_dir()) == ["0000", "0001"]
