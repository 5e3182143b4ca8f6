"""Embedding on a real cluster of Ray: the same shards, also where a machine of it is lost on the way."""

import os
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from vljepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.errors import ConfigError, DataError
from vljepa.inference.embed import Embedder
from vljepa.inference.index import Index, units
from vljepa.inference.index.engines import on_ray
from vljepa.inference.segments import segment_settings

IMAGES = 120


@pytest.fixture(scope="module")
def cluster():
    """A machine of one core, as far as Ray can tell."""
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")  # paths of sockets are short
    Path(folder, "ray").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("AUTH_MODE", "disabled"), ("ENABLE_UV_RUN_RUNTIME_ENV", "0"), ("TMPDIR", folder)):
            patch.setenv(f"RAY_{name}", value)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "temp_dir": f"{folder}/ray"})
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
        ray.shutdown()
        cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Folder of a saved toy model."""
    folder = tmp_path_factory.mktemp("toy")
    VLJEPA(load_preset("toy")).save_pretrained(folder)
    return folder


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(IMAGES):
        Image.new("RGB", (1500, 1500), (number, 255 - number, number * 2 % 256)).save(folder / f"{number:03}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def content(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_worker_that_fails_ends_the_run_and_says_why(cluster, toy, images, tmp_path):
    """Its model is not there on that machine; Ray would make it again and again."""
    embedder = Embedder.from_pretrained(str(toy), device="cpu")
    load = partial(Embedder.from_pretrained, str(tmp_path / "none"), device="cpu")
    engine = on_ray(load, segment_settings(embedder.model))
    began = time.monotonic()
    with pytest.raises(DataError, match=r"a worker of the Ray cluster failed: .*none.*what is done is kept"):
        Index.build(embedder.model, embedder.processor, images, output=tmp_path / "ray.index", engine=engine)
    assert time.monotonic() - began < 60


def test_files_that_kill_each_worker_end_the_run(cluster, toy, images, tmp_path):
    embedder = Embedder.from_pretrained(str(toy), device="cpu")
    engine = on_ray(partial(os._exit, 1), segment_settings(embedder.model))
    with pytest.raises(DataError, match=r"4 workers died over .000.png. or 120 files beside it.*what is done is kept"):
        Index.build(embedder.model, embedder.processor, images, output=tmp_path / "ray.index", engine=engine)


@pytest.mark.parametrize(
    ("has", "gpus", "message"),
    [
        ({"memory": 1e9}, 0.0, "needs 1 CPUs, and no machine of the Ray cluster has more than 0"),
        ({"CPU": 8.0}, 0.5, "needs 0.5 GPUs, and no machine of the Ray cluster has more than 0"),
        ({"CPU": 8.0, "GPU": 1.0}, 2.0, "needs 2 GPUs, and no machine of the Ray cluster has more than 1"),
    ],
)
def test_what_the_cluster_has_not_is_not_waited_for(monkeypatch, toy, tmp_path, has, gpus, message):
    import ray

    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": has}] * 2 + [{"Alive": False}])
    with pytest.raises(ConfigError, match=message):
        list(on_ray(None, None, gpus=gpus)([], tmp_path))


def test_a_cluster_that_is_not_there(monkeypatch, tmp_path):
    import ray

    def init(**_):
        raise ConnectionError("Failed to connect to 1.2.3.4:6379.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConfigError, match=r"cannot be joined: Failed to connect to 1.2.3.4.*RAY_ADDRESS"):
        list(on_ray(None, None)([], tmp_path))


def test_a_machine_that_is_lost_costs_no_image_and_no_bit(cluster, toy, images, tmp_path, monkeypatch):
    monkeypatch.setattr(units, "IMAGES", 4)
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    load = partial(Embedder.from_pretrained, str(toy), device="cpu")
    embedder, lost = load(), []

    def progress(count):
        if not lost:  # after the first unit, while others are at work
            lost.append(len(list((tmp_path / "ray.index" / "shards").iterdir())))
            cluster.remove_node(second, allow_graceful=False)

    whole = Index.build(embedder.model, embedder.processor, images, output=tmp_path / "local.index")
    found = Index.build(
        embedder.model,
        embedder.processor,
        images,
        output=tmp_path / "ray.index",
        engine=on_ray(load, segment_settings(embedder.model), progress=progress),
    )

    assert lost[0] < IMAGES // 4, "some were still to be done"
    assert len(cluster.list_all_nodes()) == 1
    assert len(found) == IMAGES
    assert found.entries == whole.entries
    assert [one.path for one in found.skipped] == ["broken.png"]
    assert content(tmp_path / "ray.index") == content(tmp_path / "local.index")


def test_a_cluster_needs_a_place(toy):
    load = partial(Embedder.from_pretrained, str(toy), device="cpu")
    embedder = load()
    with pytest.raises(ConfigError, match="nowhere to keep"):
        list(on_ray(load, segment_settings(embedder.model))([], None))
