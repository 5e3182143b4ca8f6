"""Saved models, adapters, decoders and runs of a stranger: refused in one line. Nothing in them is ever run."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.decoders import tiny_decoder
from tests.security.payloads import pickled, torched
from vljepa import VLJEPA
from vljepa.checkpoint.adaptation import adapt
from vljepa.checkpoint.decoder import load_decoder, save_decoder
from vljepa.configs import AdaptersConfig, load_preset
from vljepa.errors import CheckpointError, VLJEPAError
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.checkpoint import find_intact, load_state, replace_folder, save_state
from vljepa.training.same_run import check_same_run
from vljepa.training.trainer import Trainer

WRITE = pytest.mark.parametrize("write", [pickled, torched], ids=["pickle", "torch"])


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A model, and adapters of it."""
    folder = tmp_path_factory.mktemp("sound")
    VLJEPA(load_preset("toy")).save_pretrained(folder / "model")
    model = VLJEPA.from_pretrained(folder / "model")
    adapt(model, AdaptersConfig(), base=str(folder / "model"), seed=0)
    model.save_pretrained(folder / "adapters")
    return folder


@pytest.fixture
def adapters(sound, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(sound / "adapters", tmp_path / "adapters")


@WRITE
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "adapter_model.bin"])
def test_code_in_place_of_weights_is_not_run(sound, tmp_path, sentinel, name, write):
    model = shutil.copytree(sound / "model", tmp_path / "model")
    (model / "model.safetensors").unlink()
    (model / name).write_bytes(write(sentinel))
    with pytest.raises(VLJEPAError):
        VLJEPA.from_pretrained(model)


def test_sound_adapters_load(adapters):
    """The control of the next three."""
    assert VLJEPA.from_pretrained(adapters).adapters is not None


@WRITE
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_code_in_place_of_adapters_is_not_run(adapters, sentinel, name, write):
    (adapters / "adapter_model.safetensors").unlink()
    (adapters / name).write_bytes(write(sentinel))
    with pytest.raises(CheckpointError):
        VLJEPA.from_pretrained(adapters)


@pytest.mark.parametrize(
    "changes",
    [
        {"megatron_config": {"a": 1}, "megatron_core": "hostile"},
        {"target_modules": "(a+)+$"},
        {"peft_type": "LOHA"},
        {"peft_type": "hostile"},
    ],
    ids=["imports", "pattern", "another kind", "no kind"],
)
def test_adapters_that_ask_for_more_are_refused(adapters, sentinel, monkeypatch, changes):
    (adapters / "hostile.py").write_text(f"import os\nos.mkdir({str(sentinel)!r})\n")
    monkeypatch.syspath_prepend(str(adapters))
    config = json.loads((adapters / "adapter_config.json").read_text())
    (adapters / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match="no adapters that vljepa saved"):
        VLJEPA.from_pretrained(adapters)


@pytest.mark.parametrize("name", ["adapter_config.json", "config.json", "vljepa_base.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "", "\x80"], ids=["nested", "a list", "empty", "bytes"])
def test_odd_json_beside_adapters_is_refused(adapters, name, text):
    (adapters / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(VLJEPAError):
        VLJEPA.from_pretrained(adapters)


@WRITE
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model"])
def test_code_in_a_decoder_is_not_run(tmp_path, sentinel, name, write):
    decoder = tiny_decoder()
    save_decoder(decoder, tmp_path / "decoder")
    both(tmp_path / "decoder", decoder)  # the control
    (tmp_path / "decoder" / name).write_bytes(write(sentinel))
    with pytest.raises(CheckpointError):
        both(tmp_path / "decoder", decoder)


def both(folder, decoder):
    """What `caption` reads of a decoder."""
    load_decoder(folder, text_space=decoder.config.text_space)
    DecoderTokenizer.from_folder(folder)


@WRITE
def test_code_in_a_training_state_is_not_run(tmp_path, sentinel, write):
    """Not even in a checkpoint whose manifest vouches for it."""

    def seal(folder):
        (folder / "training.pt").write_bytes(write(sentinel))

    replace_folder(tmp_path / "last", seal)
    assert find_intact(tmp_path / "last") == tmp_path / "last"
    with pytest.raises(CheckpointError, match="does not load"):
        load_state(tmp_path / "last", device=torch.device("cpu"))
    save_state(tmp_path / "last", {"step": 3})
    assert load_state(tmp_path / "last", device=torch.device("cpu")) == {"step": 3}, "the control"


@pytest.mark.parametrize(
    "text", ["!!python/object/apply:os.mkdir ['{}']", "train: !!python/object/new:os.mkdir ['{}']", "[" * 1_000]
)
def test_objects_in_the_recipe_of_a_run_are_refused(make_run, tmp_path, sentinel, text):
    (tmp_path / "config.yaml").write_text(text.format(sentinel))
    with pytest.raises(CheckpointError, match="without a readable"):
        check_same_run(make_run(), tmp_path, finished=False)


@pytest.mark.parametrize("name", ["manifest.json", "result.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", '{"files": {"../../secret": {"size": 1}}}', '{"files": 1}'])
def test_odd_json_in_a_run_is_one_line(make_run, name, text):
    run = make_run()
    folder = Path(run.train.output)
    replace_folder(folder / "last", lambda new: save_state(new, {}))
    (folder / "last" / name if name == "manifest.json" else folder / name).write_text(text)
    with pytest.raises(CheckpointError, match=r"is damaged|is not a run's result"):
        Trainer(run, device="cpu").fit()
