"""Probes: what is measured is what is there, and what is missing is said with its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import write_rows
from tests.trained_clips import write_clips
from vljepa import probe
from vljepa.checkpoint.encoders import load_encoder
from vljepa.checkpoint.v_jepa import write_v_jepa
from vljepa.configs import VJEPAConfig
from vljepa.data.labelled import read_labelled
from vljepa.data.records import Clip, Still
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.metrics.classification import accuracy_interval
from vljepa.models.probes import AttentiveProbe, LinearProbe, by_steps
from vljepa.models.video.v_jepa import VJEPA
from vljepa.training.probing import ProbeSettings, _schedule

SMALL: dict[str, Any] = {
    "frames": 4,
    "image": {
        "size": [32, 32], "mean": [0.5] * 3, "std": [0.25] * 3, "resize": "squash", "interpolation": "bilinear",
    },
    "encoder": {"width": 24, "depth": 1, "heads": 2, "patch": 8, "tubelet": 2},
    "predictor": {"width": 16, "depth": 1, "heads": 2},
}  # fmt: skip
COLOURS = {"blue": (20, 30, 220), "green": (20, 200, 40), "red": (220, 20, 20)}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A V-JEPA that has learned nothing: its latents still tell colours apart."""
    torch.manual_seed(0)
    config = VJEPAConfig.model_validate(SMALL)
    folder = tmp_path_factory.mktemp("encoder")
    write_v_jepa(config, VJEPA(config).state_dict(), folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder per colour, ten images in each, with noise."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            noisy = np.clip(np.array(colour) + random.normal(0, 15, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("head", ["attentive", "linear", "flat", "knn"])
def test_colours_are_told_apart_by_every_head(head: Any, encoder: Path, pictures: Path, tmp_path: Path) -> None:
    settings = ProbeSettings(head=head, lrs=(1e-2, 1e-6), weight_decays=(0.0,), epochs=15, batch_size=12)
    found = probe(pictures, encoder=str(encoder), settings=settings, cache=tmp_path / "cache", device="cpu")
    assert found.classes == list(COLOURS)
    assert (found.train, found.validation, found.test, found.chosen_on_test) == (24, 6, 6, True)
    assert found.accuracy == 1.0
    assert found.confusion == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    assert (found.low, found.high) == accuracy_interval(6, 6)
    if head != "knn":
        assert found.chosen["lr"] == 1e-2, "chosen on validation"


def test_wrong_labels_give_chance_and_not_more(encoder: Path, pictures: Path, tmp_path: Path) -> None:
    """The control: with labels that say nothing of the images, other images are not told apart."""
    random = np.random.default_rng(1)
    for split, numbers in (("train", range(7)), ("test", range(7, 10))):
        rows = [
            {"image": f"pictures/{name}/{number}.png", "text": str(random.choice(list(COLOURS)))}
            for name in COLOURS for number in numbers
        ]  # fmt: skip
        write_rows(tmp_path / f"{split}.jsonl", rows)
    found = probe(
        tmp_path / "train.jsonl", encoder=str(encoder), test=tmp_path / "test.jsonl", cache=tmp_path / "cache",
        settings=ProbeSettings(head="linear", epochs=15), device="cpu",
    )  # fmt: skip
    assert not found.chosen_on_test
    assert found.accuracy < 0.7
    assert sum(map(sum, found.confusion)) == found.test == 9
    assert sum(count for *_, count in found.confused()) == round(9 * (1 - found.accuracy))


def test_clips_of_a_table_and_features_are_computed_once(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_clips(tmp_path, 12)
    tower = load_encoder(str(encoder))
    calls: list[int] = []
    forward = tower.forward
    monkeypatch.setattr(tower, "forward", lambda pixels: (calls.append(len(pixels)), forward(pixels))[1])
    given: Any = {"encoder": tower, "frames": 4, "cache": tmp_path / "cache", "device": "cpu"}
    for _ in range(2):
        found = probe(table, settings=ProbeSettings(head="linear", epochs=2), **given)
    assert sum(calls) == 12
    assert found.classes == ["left", "right"]
    assert set(found.predictions.values()) <= {"left", "right"}


def test_folders_of_clips_and_images_are_seen_as_clips(tmp_path: Path) -> None:
    write_clips(tmp_path / "moving", 3)
    (tmp_path / "still").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "still" / "one.png")
    (tmp_path / "moving" / "clips.jsonl").unlink()
    rows = read_labelled(tmp_path, frames=4)
    assert [(type(one.visual), one.label) for one in rows] == [(Clip, "moving")] * 3 + [(Still, "still")]


def test_the_step_of_a_frame_is_told_where_frames_are_seen_one_by_one() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 6, 32)
    turned = tokens.unflatten(1, (3, 2)).flip(1).flatten(1, 2)
    for told, same in ((False, True), (True, False)):
        head = AttentiveProbe(32, 5, tell_steps=told).eval()
        head.classify.weight.data.normal_()
        head.key_value.weight.data.normal_()
        assert torch.allclose(head(tokens, steps=3), head(turned, steps=3), atol=1e-5) == same


def test_a_mean_token_of_every_step_is_kept() -> None:
    tokens = torch.arange(12.0).view(1, 6, 2)
    assert by_steps(tokens, steps=3).tolist() == [[1.0, 2.0, 5.0, 6.0, 9.0, 10.0]]
    assert by_steps(tokens, steps=1).tolist() == [[5.0, 6.0]]


def test_the_rate_rises_and_falls() -> None:
    rates = [_schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == 1.0
    assert rates[99] < 0.01


def test_wilsons_interval() -> None:
    """Of the textbook: 9 of 10 is 0.596 to 0.982; the ends stay inside 0 and 1."""
    assert accuracy_interval(9, 10) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert accuracy_interval(0, 5)[0] == 0.0
    assert accuracy_interval(5, 5)[1] == 1.0


def test_a_vl_jepa_a_part_and_a_folder_are_encoders(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_encoder("mini", pool_grid=2).config.pool_grid == 2
    assert load_encoder(f"v_jepa:{encoder}").width == 24
    monkeypatch.chdir(encoder.parent)
    assert load_encoder(encoder.name).config.part.backend == "v_jepa"
    with pytest.raises(CheckpointError, match=r"there is no model '/nowhere'.*timm:resnet18.a1_in1k"):
        load_encoder("/nowhere")


def test_what_is_missing_is_said(encoder: Path, pictures: Path, tmp_path: Path) -> None:
    def run(train: Path, **given: Any) -> None:
        probe(train, encoder=str(encoder), cache=tmp_path / "cache", device="cpu", **given)

    with pytest.raises(DataError, match="there is no"):
        run(tmp_path / "nothing")
    (tmp_path / "splits" / "train").parent.mkdir()
    (pictures).rename(tmp_path / "splits" / "train")
    with pytest.raises(DataError, match=r"holds splits \(train\), not classes.*--test"):
        run(tmp_path / "splits")
    whole = tmp_path / "splits" / "train"
    (tmp_path / "other").mkdir()
    for name in ("blue", "pink"):
        (whole / "blue").exists()
        (tmp_path / "other" / name).mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "other" / name / "0.png")
    with pytest.raises(DataError, match="the test data have 1 classes that the training data have not, first 'pink'"):
        run(whole, test=tmp_path / "other")
    with pytest.raises(DataError, match="no class has 5 samples"):
        run(tmp_path / "other")
    with pytest.raises(ConfigError, match="there is no head 'mlp'"):
        run(whole, settings=ProbeSettings(head="mlp"))  # type: ignore[arg-type]
    (tmp_path / "one" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "one" / "cat" / "0.png")
    with pytest.raises(DataError, match="1 images or clips of 1 class"):
        run(tmp_path / "one")


def test_what_is_constant_in_training_says_nothing_afterwards():
    """A feature that is dead in training and alive in one test image must not drown the others."""
    probe = LinearProbe(torch.zeros(4), torch.tensor([1.0, 1.0, 1.0, 0.0]), 2)
    tokens = torch.tensor([[[1.0, -1.0, 0.5, 0.0]], [[1.0, -1.0, 0.5, 0.3]]])
    alive, dead = probe(tokens, steps=1)[1], probe(tokens, steps=1)[0]
    torch.testing.assert_close(alive, dead)


@pytest.mark.parametrize(("what", "count"), [("test", 24), ("validation", 30)])
def test_training_data_are_no_test_data(what: str, count: int, encoder: Path, pictures: Path, tmp_path: Path) -> None:
    """Without validation data a fifth of the training data are those."""
    with pytest.raises(DataError, match=rf"{count} of the {what} data are training data, too, first .*png"):
        probe(pictures, encoder=str(encoder), cache=tmp_path / "cache", device="cpu", **{what: pictures})
