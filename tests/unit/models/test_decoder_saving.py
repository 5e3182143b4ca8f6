"""A Y-Decoder's folder: bit-equal in a new process, never silently incomplete, never read by a stranger's model."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.decoders import SPACE, TEXTS, overfit, tiny_decoder, tokenizer_of, units, write_language_model
from vljepa.checkpoint.decoder import build_decoder, load_decoder, save_decoder
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import YDecoderConfig
from vljepa.errors import CheckpointError, ConfigError, PartError, TextSpaceError
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import DecoderTokenizer

LORA = {"rank": 2, "alpha": 4.0, "targets": ["q_proj", "v_proj"]}

_LOAD_AND_SAY = """
import sys, torch
from pathlib import Path
from vljepa.checkpoint.decoder import load_decoder
decoder = load_decoder(Path(sys.argv[1]), text_space=sys.argv[2])
rows = torch.load(sys.argv[3], weights_only=True)
torch.save((decoder.state_dict(), decoder.generate(rows, num_beams=2)), sys.argv[4])
"""


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def saved(tmp_path):
    decoder = tiny_decoder()
    save_decoder(decoder, tmp_path / "saved")
    return decoder, tmp_path / "saved"


@pytest.fixture
def adapted(tmp_path):
    """A pretrained folder's decoder with adapters, trained a little."""
    part = f"transformers:{write_language_model(tmp_path / 'part')}"
    raw = {"part": part, "embed_dim": 24, "prefix_tokens": 2, "lora": LORA, "text_space": SPACE}
    return YDecoderConfig.model_validate(raw)


def test_a_new_process_gives_equal_weights_and_words(saved, tmp_path):
    decoder, folder = saved
    torch.save(units(3), tmp_path / "rows.pt")
    arguments = [str(folder), SPACE, str(tmp_path / "rows.pt"), str(tmp_path / "out.pt")]
    subprocess.run([sys.executable, "-c", _LOAD_AND_SAY, *arguments], check=True)
    tensors, ids = torch.load(tmp_path / "out.pt", weights_only=True)
    assert same(tensors, decoder.state_dict())
    assert torch.equal(ids, decoder.generate(units(3), num_beams=2))


def test_a_loaded_decoder_is_frozen_and_in_eval_mode_and_has_its_vocabulary(saved):
    decoder, folder = saved
    loaded = load_decoder(folder, text_space=SPACE)
    assert loaded.config == decoder.config
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert all(parameter.requires_grad for parameter in loaded.unfreeze().parameters())
    assert loaded.vocabulary == decoder.vocabulary
    texts = DecoderTokenizer.from_folder(folder).decode(loaded.generate(units(3)))
    assert texts == tokenizer_of(decoder).decode(decoder.generate(units(3)))


def test_a_decoder_of_a_slice_has_the_layers_that_the_part_names(tmp_path):
    folder = write_language_model(tmp_path / "part", num_hidden_layers=3)
    whole = load_file(folder / "model.safetensors")
    decoder = build_decoder(YDecoderConfig.model_validate({"part": f"transformers:{folder}#1:3", "embed_dim": 24}))
    layers = decoder.lm.model.layers
    assert len(layers) == 2
    for place, layer in enumerate(layers):
        assert torch.equal(layer.mlp.up_proj.weight, whole[f"model.layers.{place + 1}.mlp.up_proj.weight"])


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_are_saved_once_and_stay_tied(tied, tmp_path):
    decoder = tiny_decoder(architecture={"tie_word_embeddings": tied})
    save_decoder(decoder, tmp_path)
    assert ("lm.lm_head.weight" in load_file(tmp_path / "model.safetensors")) is not tied
    loaded = load_decoder(tmp_path, text_space=SPACE)
    assert same(loaded.state_dict(), decoder.state_dict())
    assert (loaded.lm.lm_head.weight is loaded.lm.model.embed_tokens.weight) is tied


def test_a_narrow_save_loads_as_fp32(tmp_path):
    decoder = tiny_decoder()
    save_decoder(decoder, tmp_path, dtype=torch.bfloat16)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in decoder.state_dict().values()} == {torch.float32}
    loaded = load_decoder(tmp_path, text_space=SPACE).state_dict()
    assert same(loaded, {name: tensor.bfloat16().float() for name, tensor in decoder.state_dict().items()})


def test_another_text_space_is_refused(saved):
    with pytest.raises(TextSpaceError, match=r"reads the text space .* the model's is 'another'") as error:
        load_decoder(saved[1], text_space="another")
    assert "train-decoder" in error.value.fix


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("prefix.bias"), "first 'prefix.bias'"),
        (lambda tensors: tensors.update(stray=torch.ones(1)), "first 'stray'"),
        (lambda tensors: tensors.update({"prefix.bias": torch.ones(3)}), "other shapes"),
    ],
)
def test_tensors_that_lack_or_do_not_belong_are_errors(saved, change, message):
    change_tensors(saved[1], change)
    with pytest.raises(CheckpointError, match=message):
        load_decoder(saved[1], text_space=SPACE)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (lambda folder: truncate(folder / "model.safetensors"), CheckpointError, "not readable"),
        (lambda folder: (folder / "model.safetensors").unlink(), CheckpointError, "holds no Y-Decoder"),
        (lambda folder: (folder / "config.json").unlink(), CheckpointError, "holds no Y-Decoder"),
        (lambda folder: truncate(folder / "config.json"), CheckpointError, "not readable"),
        (lambda folder: (folder / "config.json").write_text('{"partt": 1}'), ConfigError, "unknown key 'partt'"),
    ],
)
def test_broken_folders_are_told(saved, damage, kind, message):
    damage(saved[1])
    with pytest.raises(kind, match=message):
        load_decoder(saved[1], text_space=SPACE)


def test_only_prefix_and_adapters_are_trained_and_saved(adapted, tmp_path):
    decoder = build_decoder(adapted)
    trained = {name for name, parameter in decoder.named_parameters() if parameter.requires_grad}
    assert all(name.startswith("prefix.") or "lora_" in name for name in trained)
    assert sum("lora_" in name for name in trained) == 4  # down and up, of q_proj and v_proj, in one layer
    save_decoder(decoder, tmp_path / "thin")
    assert load_file(tmp_path / "thin" / "model.safetensors").keys() == trained | {"shift_D", "scale_D"}
    assert not (tmp_path / "thin" / "tokenizer.model").exists()


def test_a_whole_save_needs_the_language_model_s_files_no_more(adapted, tmp_path):
    decoder = build_decoder(adapted)
    thin, whole = tmp_path / "thin", tmp_path / "whole"
    save_decoder(decoder, thin)
    save_decoder(decoder, whole, full=True)
    (tmp_path / "part").rename(tmp_path / "gone")
    with pytest.raises(PartError):
        load_decoder(thin, text_space=SPACE)
    loaded = load_decoder(whole, text_space=SPACE)
    assert same(loaded.state_dict(), decoder.state_dict())
    ids = DecoderTokenizer.from_folder(whole).encode(["a cat"], max_tokens=9)[0]
    save_decoder(loaded, tmp_path / "again", full=True)
    whole.rename(tmp_path / "gone too")
    again = load_decoder(tmp_path / "again", text_space=SPACE)
    assert torch.equal(again.generate(units(3)), decoder.eval().generate(units(3)))
    assert torch.equal(DecoderTokenizer.from_folder(tmp_path / "again").encode(["a cat"], max_tokens=9)[0], ids)


def test_the_language_model_s_own_weights_are_those_of_its_files(adapted, tmp_path):
    own = load_file(tmp_path / "part" / "model.safetensors")
    state = build_decoder(adapted).state_dict()
    base = {name.removeprefix("lm.base_model.model.").replace(".base_layer.", "."): state[name] for name in state}
    assert own
    assert all(torch.equal(base[name], tensor) for name, tensor in own.items())


def test_adapters_come_back_to_the_last_bit(adapted, tmp_path):
    decoder = build_decoder(adapted)
    before = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    overfit(decoder, units(4), TEXTS[:4], steps=60)
    moved = {name for name, tensor in decoder.state_dict().items() if not torch.equal(tensor, before[name])}
    assert all(name.startswith("prefix.") or "lora_" in name for name in moved)
    assert len(moved) == 6
    save_decoder(decoder, tmp_path / "thin")
    loaded = load_decoder(tmp_path / "thin", text_space=SPACE)
    assert same(loaded.state_dict(), decoder.state_dict())
    words = DecoderTokenizer.from_folder(tmp_path / "thin")
    assert words.decode(loaded.generate(units(4))) == list(TEXTS[:4])
    assert {name for name, one in loaded.unfreeze().named_parameters() if one.requires_grad} == moved


def test_without_adapters_only_the_prefix_is_trained(adapted, tmp_path):
    decoder = build_decoder(adapted.model_copy(update={"lora": None})).unfreeze()
    save_decoder(decoder, tmp_path / "thin")
    assert load_file(tmp_path / "thin" / "model.safetensors").keys() == {
        "prefix.weight",
        "prefix.bias",
        "shift_D",
        "scale_D",
    }
    assert same(load_decoder(tmp_path / "thin", text_space=SPACE).state_dict(), decoder.state_dict())


def test_a_language_model_that_changed_is_refused(adapted, tmp_path):
    save_decoder(build_decoder(adapted), tmp_path / "thin")
    change_tensors(tmp_path / "part", lambda tensors: tensors["model.norm.weight"].add_(1))
    with pytest.raises(PartError):
        load_decoder(tmp_path / "thin", text_space=SPACE)


def test_a_relative_folder_is_a_part_too(adapted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = YDecoderConfig.model_validate(adapted.model_dump() | {"part": "transformers:./part"})
    assert config.part.source == "folder"
    relative, absolute = build_decoder(config), build_decoder(adapted)
    assert relative.config.part.sha256 == absolute.config.part.sha256
    assert same(relative.lm.state_dict(), absolute.lm.state_dict())


@pytest.fixture
def with_decoder(toy, tmp_path):
    """The toy model with a decoder of its text space, saved, and what it was called before."""
    names = toy.fingerprint(), toy.text_space_hash()
    save_decoder(tiny_decoder(text_space=toy.text_space_hash()), tmp_path / "decoder")
    toy.load_decoder(tmp_path / "decoder")
    toy.save_pretrained(tmp_path / "model")
    return toy, names, tmp_path / "model"


def test_a_model_carries_its_decoder_and_keeps_its_names(with_decoder):
    model, names, folder = with_decoder
    assert (model.fingerprint(), model.text_space_hash()) == names
    assert not any(key.startswith("y_decoder") for key in load_file(folder / "model.safetensors"))
    loaded = VLJEPA.from_pretrained(folder)
    assert (loaded.fingerprint(), loaded.text_space_hash()) == names
    assert same(loaded.y_decoder.state_dict(), model.y_decoder.state_dict())
    assert not any(parameter.requires_grad for parameter in loaded.y_decoder.parameters())
    processor = VLJEPAProcessor.from_pretrained(folder)
    assert len(processor.decode(loaded.generate(units(2)))) == 2


def test_words_for_a_batch_are_those_for_its_predicted_embeddings(with_decoder, batch):
    model = with_decoder[0]
    with torch.no_grad():
        predicted = model(batch()).prediction_BD
    ids = model.generate(batch(), num_beams=2)
    assert torch.equal(ids, model.generate(predicted, num_beams=2))
    assert not torch.equal(ids, model.generate(batch(seed=1), num_beams=2))


def test_a_narrow_save_of_a_model_narrows_its_decoder(with_decoder, tmp_path):
    with_decoder[0].save_pretrained(tmp_path / "narrow", dtype=torch.bfloat16)
    tensors = load_file(tmp_path / "narrow" / "y_decoder" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_a_model_refuses_a_decoder_of_another_text_space(toy, with_decoder, tmp_path):
    save_decoder(tiny_decoder(), tmp_path / "stranger")
    with pytest.raises(TextSpaceError):
        toy.load_decoder(tmp_path / "stranger")
    config = with_decoder[2] / "y_decoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"text_space": "another"}))
    with pytest.raises(TextSpaceError):
        VLJEPA.from_pretrained(with_decoder[2])


def test_a_model_without_a_decoder_says_so(toy, batch):
    with pytest.raises(CheckpointError, match="no Y-Decoder"):
        toy.generate(batch())
    with pytest.raises(CheckpointError, match="no Y-Decoder"):
        VLJEPAProcessor(toy.config).decode(torch.zeros(1, 1))
