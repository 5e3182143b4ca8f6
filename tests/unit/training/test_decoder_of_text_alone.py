"""Words for a dual encoder from a text file and nothing else: what the recipe leaves open is asked of the model."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.contract.test_vision_towers_of_strangers import images
from tests.decoders import decoder_config
from tests.unit.training.test_decoder import decoder_run, trainer
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.decoder import load_decoder
from vljepa.configs import AlignedConfig, DecoderSourceConfig, LoraConfig, SideConfig
from vljepa.data.sources import load_source
from vljepa.errors import CheckpointError
from vljepa.inference.embed import Embedder
from vljepa.training.decoder_config import default_noise, fitted_config

NAMES = ["cat", "dog", "boat", "tree"]
TEXTS = [f"a {name} {place}" for name in NAMES for place in ("on a table", "in the snow", "by a river")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> VLJEPA:
    DUAL_ENCODERS["clip"](folder := tmp_path_factory.mktemp("dual") / "part")
    return VLJEPA.from_pretrained(f"aligned:{folder}")


@pytest.fixture
def run(tmp_path: Path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")

    def run(output: str, **decoder):
        raw = decoder_config(text_space="", dropout=0.1).model_dump(mode="json") | {"embed_dim": None}
        raw |= {"entities": {"names": NAMES, "count": 2, "max_pieces": 8}, "memory": {"size": 8}} | decoder
        return decoder_run(
            tmp_path,
            output,
            decoder=raw,
            vocabulary=100,
            data={"train": [{"name": "texts", "path": "texts.txt"}], "noise": "gap"},
            train={"best_metric": "loss"},
        )

    return run


def test_the_model_answers_what_the_recipe_leaves_open(run, model, tmp_path) -> None:
    job = trainer(run("words"), model)
    folder = job.fit().model_folder
    decoder, temperature = load_decoder(folder, text_space=model.text_space_hash()), model.config.calibration.classify
    config = decoder.config
    assert (config.embed_dim, config.entities.temperature, config.memory.temperature) == (24, temperature, temperature)
    assert job.inputs.gap is None
    [rows] = job.inputs.batches.sources
    assert rows.noise == default_noise(24) == pytest.approx(24**-0.5)
    embedder = Embedder(model, VLJEPAProcessor(model.config))
    wanted = embedder.texts([f"a photo of a {name}." for name in NAMES])
    torch.testing.assert_close(decoder.names_KD, torch.from_numpy(wanted))
    assert config.memory.size == len(decoder.memory_SD) == 8
    known = torch.from_numpy(embedder.texts(TEXTS))
    assert (decoder.memory_SD @ known.T).max(1).values.min() > 0.9999, "the memory is of the training texts"
    model.load_decoder(folder)
    processor = VLJEPAProcessor(model.config)
    processor.load_decoder(folder)
    speaking = Embedder(model, processor)
    [first, *_] = images(tmp_path)
    assert speaking.words(speaking.images([first])) != [""]


def test_a_prediction_is_read_where_texts_lie(run, model) -> None:
    """Whatever lies between the modalities: what is read is a mean of the memory's texts, the nearest above all."""
    decoder = load_decoder(trainer(run("words"), model).fit().model_folder, text_space=model.text_space_hash())
    offset = F.normalize(torch.randn(24, generator=torch.Generator().manual_seed(0)), dim=-1)
    seen = F.normalize(decoder.memory_SD + 2 * offset, dim=-1)
    before, after = (seen * decoder.memory_SD).sum(-1), (decoder.moved(seen) * decoder.memory_SD).sum(-1)
    assert after.mean() > before.mean() + 0.2
    inside = torch.linalg.lstsq(decoder.memory_SD.T, decoder.moved(seen).T)
    assert inside.solution.min() > -1e-3, "a mean: no text counts against"
    other = trainer(run("plain", memory=None), model).fit().model_folder
    plain = load_decoder(other, text_space=decoder.config.text_space)
    torch.testing.assert_close(plain.moved(seen), seen)


def test_what_the_recipe_says_wins(model) -> None:
    config = decoder_config(entities={"names": NAMES, "temperature": 0.3}, memory={"temperature": 0.2}, embed_dim=24)
    fitted = fitted_config(config, model)
    assert (fitted.entities.temperature, fitted.memory.temperature) == (0.3, 0.2)


def test_images_are_read_where_texts_lie_by_the_model_s_statistics(run, model) -> None:
    """Without images and memory: each dimension gets the mean and the deviation of texts."""
    side = {
        name: SideConfig(mean=[mean] * 24, std=[std] * 24)
        for name, mean, std in (("image", 0.1, 0.2), ("text", -0.1, 0.1))
    }
    known = copy.deepcopy(model)
    known.config.residual = AlignedConfig(**side)
    folder = trainer(run("sides", memory=None), known).fit().model_folder
    decoder = load_decoder(folder, text_space=known.text_space_hash())
    seen = F.normalize(torch.randn(5, 24, generator=torch.Generator().manual_seed(1)), dim=-1)
    torch.testing.assert_close(decoder.moved(seen), F.normalize((seen - 0.1) / 2 - 0.1, dim=-1))


def test_the_captions_that_come_with_mini_are_a_source() -> None:
    source = DecoderSourceConfig(name="captions", path="mini:captions")
    rows = load_source(source, root="nowhere", images=False)
    assert len(rows) == 24_366 == len({row.texts for row in rows})
    with pytest.raises(CheckpointError, match="'toy' ships without trained weights"):
        load_source(source.model_copy(update={"path": "toy:captions"}), root="nowhere", images=False)


def test_a_decoder_that_goes_on_reads_predictions_as_its_own_run_says(run, model) -> None:
    """With a memory, without one, and with one of another size: of the start stays what it has learned."""
    start = trainer(run("start"), model).fit().model_folder
    for name, memory in (("smaller", {"size": 4}), ("none", None)):
        recipe = run(name, memory=memory).model_copy(update={"start": str(start)})
        decoder = load_decoder(trainer(recipe, model).fit().model_folder, text_space=model.text_space_hash())
        assert (decoder.config.memory is None) == (memory is None)
        assert memory is None or len(decoder.memory_SD) == 4
    recipe = run("adapted", memory={"size": 4})
    words = recipe.decoder.model_copy(update={"lora": LoraConfig(rank=2, alpha=4.0)})
    adapted = recipe.model_copy(update={"start": str(start), "decoder": words})
    decoder = load_decoder(trainer(adapted, model).fit().model_folder, text_space=model.text_space_hash())
    assert len(decoder.memory_SD) == 4
