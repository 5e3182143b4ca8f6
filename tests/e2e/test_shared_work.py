"""Two real processes share the work of a run: filling caches, batches of a Y-Decoder; and begin at the same place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from PIL import Image

from tests.conftest import shapes_run
from tests.decoders import TEXTS, decoder_config
from tests.launching import free_port
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import CacheConfig, DecoderRunConfig, RunConfig, load_preset, validate
from vljepa.data.features import FeatureCache
from vljepa.data.text_features import TextFeatures
from vljepa.errors import CheckpointError
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.training.agreement import leaving_processes
from vljepa.training.decoder import DecoderTrainer
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

IMAGES = 20
WORDS = [f"text number {number}" for number in range(40)]


def toy() -> tuple[VLJEPA, VLJEPAProcessor]:
    torch.manual_seed(0)
    model = VLJEPA.from_parts(load_preset("toy")).eval()
    return model, VLJEPAProcessor(model.config)


def images(folder: Path) -> list[Path]:
    return [folder / "images" / f"{number}.png" for number in range(IMAGES)] + [folder / "images" / "broken.png"]


def filled(folder: Path, cache: Path) -> dict[str, Any]:
    """Fill a cache, and tell what this process encoded and what it can read."""
    model, processor = toy()
    encoded: list[int] = []
    original = model.encode_vision
    model.encode_vision = lambda pixels: (encoded.append(len(pixels)), original(pixels))[1]  # type: ignore[method-assign]
    asked: list[int] = []
    original_text = model.text_features
    model.text_features = lambda text: (asked.append(len(text.ids_BL)), original_text(text))[1]  # type: ignore[method-assign]
    config = CacheConfig(folder=str(cache))
    features = FeatureCache(config, fingerprint=model.x_encoder_fingerprint())
    wanted = dict.fromkeys(images(folder), 1)
    skipped = features.fill(wanted, model=model, processor=processor, max_skipped=0.5)
    texts = TextFeatures(config.folder, config=model.config.y_encoder)
    texts.fill(WORDS, model=model, processor=processor)
    return {
        "encoded": sum(encoded),
        "texts encoded": sum(asked),
        "skipped": [path.name for path in skipped],
        "tokens": features.read([(path, 0) for path in images(folder)[:-1]]).latents.tokens_BND,
        "texts": texts.read(WORDS),
    }


def decoder_recipe(folder: Path, output: str) -> DecoderRunConfig:
    """Texts of very different lengths, in batches that two processes cannot halve."""
    texts = folder / "texts.txt"
    if not texts.exists():
        texts.write_text("\n".join([*TEXTS, *(" ".join(TEXTS[:5]) for _ in range(2))]), encoding="utf-8")
    raw = {
        "model": "toy",
        "decoder": decoder_config(text_space="", dropout=0.0).model_dump(mode="json"),
        "vocabulary": 80,
        "data": {"root": str(folder), "train": [{"name": "texts", "path": "texts.txt"}], "held_out": 0.2, "noise": 0.1}
        | {"cache": {"folder": str(folder / f"cache of {output}")}},
        "optim": {"lr": 1e-2, "warmup_steps": 2},
        "train": {"output": str(folder / output), "steps": 4, "batch_size": 7, "eval_every": 4, "log_every": 1}
        | {"best_metric": "loss", "precision": "fp32"},
    }
    return validate(DecoderRunConfig, raw, where="test")


def train_decoder(run: DecoderRunConfig) -> list[int]:
    model, processor = toy()
    trainer = DecoderTrainer(run, model=model, processor=processor, device="cpu")
    trainer.fit()
    return [len(trainer.inputs.batches[step]["ids"]) for step in range(4)]


def refusal(run: RunConfig) -> str:
    try:
        Trainer(run, device="cpu").fit()
    except CheckpointError as error:
        return str(error)
    return "trained"


def work(rank: int, ports: tuple[int, int], folder: Path, starts: list[RunConfig]) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(ports[0]), "WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    with leaving_processes():
        dist.init_process_group("gloo")
        found: dict[str, Any] = {
            "together": filled(folder, folder / "one cache"),
            "apart": filled(folder, folder / f"cache {rank}"),
        }
        dist.destroy_process_group()
        os.environ["MASTER_PORT"] = str(ports[1])  # on the first one, addresses of the first group may still be found
        found["batches"] = train_decoder(decoder_recipe(folder, "together"))
        found["refusal"] = refusal(starts[rank])
        found["same"] = refusal(starts[2])
        torch.save(found, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def folder(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the two processes left; process 0 finds a checkpoint of another folder than process 1."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "images").mkdir()
    for number, path in enumerate(images(folder)[:-1]):
        pixels = np.random.default_rng(number).integers(0, 255, size=(40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    images(folder)[-1].write_bytes(b"no image")

    def run(disk: str, steps: int) -> RunConfig:
        train = {"steps": steps, "eval_every": 2, "output": str(folder / disk / "run")}
        return shapes_run(shapes, folder, train=train, optim={"schedule": "constant"})

    for disk in ("first disk", "common disk"):
        Trainer(run(disk, 2), device="cpu").fit()
    starts = [run("first disk", 4), run("second disk", 4), run("common disk", 4)]
    mp.spawn(work, args=((free_port(), free_port()), folder, starts), nprocs=2)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    return filled(folder, folder / "cache alone")


def test_a_cold_cache_is_filled_in_shares(found: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    """No process waits while another encodes everything: a process group would give up after ten minutes."""
    shares = [one["together"]["encoded"] for one in found]
    assert sum(shares) == alone["encoded"] == IMAGES
    assert min(shares) >= IMAGES // 4
    texts = [one["together"]["texts encoded"] for one in found]
    assert sum(texts) == alone["texts encoded"] == len(WORDS)
    assert min(texts) >= len(WORDS) // 4
    for one in found:
        torch.testing.assert_close(one["together"]["tokens"], alone["tokens"], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(one["together"]["texts"], alone["texts"])
        assert one["together"]["skipped"] == ["broken.png"], "both know what one of them could not read"


def test_without_a_common_disk_each_machine_fills_its_own(found: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    for one in found:
        assert one["apart"]["encoded"] == IMAGES
        torch.testing.assert_close(one["apart"]["tokens"], alone["tokens"], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(one["apart"]["texts"], alone["texts"])


def test_a_decoder_of_two_processes_is_that_of_one(folder: Path, found: list[dict[str, Any]]) -> None:
    run = decoder_recipe(folder, "alone")
    assert train_decoder(run) == [7] * 4
    assert [one["batches"] for one in found] == [[3] * 4, [4] * 4]
    mine, theirs = (
        [line["loss"] for line in read_log(folder / name) if line["kind"] == "train"] for name in ("alone", "together")
    )
    assert theirs == pytest.approx(mine, rel=1e-4)
    weights = [torch.load(folder / name / "last" / "training.pt", weights_only=True) for name in ("alone", "together")]
    for own, other in zip(*[one["optimizer"]["state"].values() for one in weights], strict=True):
        torch.testing.assert_close(other["exp_avg"], own["exp_avg"], rtol=1e-2, atol=1e-5)


def test_processes_with_different_checkpoints_do_not_begin(found: list[dict[str, Any]]) -> None:
    for one in found:
        assert "process 0 step 2" in one["refusal"]
        assert "process 1 none" in one["refusal"]
        assert "a disk that all machines have in common" in one["refusal"]
        assert one["same"] == "trained"
