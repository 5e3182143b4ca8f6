"""A library that nobody here knows is one file and one registration: shown with the smallest one, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vljepa import VLJEPA, VLJEPAProcessor, classify
from vljepa.backends import registry
from vljepa.backends.bytes import ByteTokenizer
from vljepa.backends.protocols import Seen, TextFacts
from vljepa.backends.weights import load_exactly, safetensors_state
from vljepa.configs import PartSpec, VLJEPAConfig, YEncoderConfig, load_preset
from vljepa.configs.part import BACKENDS

IMAGE = Path(__file__).parents[2] / "examples" / "images" / "cat.jpg"


class Patches(nn.Module):
    """Vision: squares of eight pixels."""

    width, pooled_width, num_classes, joint_frames, tubelet = 12, None, 0, False, 1

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Conv2d(3, self.width, 8, stride=8)

    def forward(self, pixels: Tensor) -> Seen:
        return Seen(self.model(pixels).flatten(2).transpose(1, 2))

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return height // 8, width // 8

    def read(self, folder: Path) -> dict[str, Tensor]:
        return safetensors_state(folder)


class Letters(nn.Module):
    """Text: the mean of its bytes."""

    width = 20

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Embedding(ByteTokenizer.vocab_size, self.width)

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        return (self.model(ids_BL) * mask_BL.unsqueeze(-1)).sum(1) / mask_BL.sum(1, keepdim=True)

    def load_pretrained(self, folder: Path) -> None:
        load_exactly(self.model, safetensors_state(folder), part="mine", folder=folder)


class Mine:
    config_file, files, tokenizer_files, fixed_length = "mine.json", (), (), False

    def contrast(self, part: PartSpec, folder: Path | None) -> None:
        return None

    def repository(self, name: str) -> str:
        return name

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        assert part.config is not None, "a part has its config when a library is asked"
        return {"size": part.config["size"], "mean": (0.1, 0.2, 0.3), "resize": "shortest_edge", "resize_to": 40}

    def least_frames(self, part: PartSpec) -> int:
        return 1

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        return TextFacts(pooling="pooler", max_tokens=9, prefix="say: ")

    def vision_tower(self, part: PartSpec) -> Any:
        return Patches()

    def text_tower(self, config: YEncoderConfig) -> Any:
        return Letters()

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Any:
        return ByteTokenizer()


@pytest.fixture
def config() -> Iterator[VLJEPAConfig]:
    registry.register("mine", Mine())
    part = {"backend": "mine", "name": "x", "source": "random", "config": {"size": [32, 32]}}
    predictor = {"part": load_preset("toy").predictor.part}
    raw = {"x_encoder": {"part": part}, "predictor": predictor, "y_encoder": {"part": part}, "embed_dim": 6}
    yield VLJEPAConfig.model_validate(raw)
    BACKENDS.remove("mine")
    del registry._BACKENDS["mine"]


def test_it_is_resolved_trained_saved_and_used(config: VLJEPAConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, processor = VLJEPA.from_parts(config), VLJEPAProcessor(config)
    assert model.config.x_encoder.image.size == (32, 32)
    assert (model.config.y_encoder.prefix, model.config.y_encoder.max_tokens) == ("say: ", 9)
    batch = processor(images=[IMAGE, IMAGE], queries=["", "what?"], targets=["cat", "a dog"])
    out = model.train()(batch)
    (1 - (out.prediction_BD * out.target_BD).sum(-1)).sum().backward()
    assert any(parameter.grad is not None for parameter in model.predictor.parameters())
    model.eval().save_pretrained(tmp_path)
    again = VLJEPA.from_pretrained(tmp_path)
    labels = ["cat", "dog", "cup"]
    [one], [other] = (classify(each, processor, IMAGE, labels=labels) for each in (model, again))
    assert one.probabilities == other.probabilities


def test_a_library_that_is_not_registered_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'mine' is no library of models; choose among transformers, open_clip, timm"):
        PartSpec.model_validate("mine:x")


def test_its_weights_come_from_a_folder(config: VLJEPAConfig, tmp_path: Path) -> None:
    made = VLJEPA.from_parts(config)
    for slot, module in (("vision", made.x_encoder.backend.model), ("text", made.y_encoder.backbone.model)):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "mine.json").write_text('{"size": [24, 24]}')
        save_file(module.state_dict(), tmp_path / slot / "model.safetensors")
    raw = config.model_dump(mode="json")
    raw["x_encoder"]["part"], raw["y_encoder"]["part"] = f"mine:{tmp_path / 'vision'}", f"mine:{tmp_path / 'text'}"
    raw["x_encoder"]["image"] = {}
    torch.manual_seed(7)
    loaded = VLJEPA.from_parts(VLJEPAConfig.model_validate(raw))
    assert loaded.config.x_encoder.image.size == (24, 24), "asked of its own file"
    assert torch.equal(loaded.x_encoder.backend.model.weight, made.x_encoder.backend.model.weight)
    assert torch.equal(loaded.y_encoder.backbone.model.weight, made.y_encoder.backbone.model.weight)


def test_every_library_that_a_name_may_have_is_registered() -> None:
    assert list(registry._BACKENDS) == BACKENDS
