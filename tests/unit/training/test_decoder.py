"""The trainer of the Y-Decoder: it learns, stops before harm, and goes on to the last bit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.decoders import TEXTS, decoder_config
from vljepa.checkpoint.decoder import load_decoder
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import DecoderRunConfig, load_preset, validate
from vljepa.inference.embed import Embedder
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import DecoderTokenizer
from vljepa.training.decoder import DecoderTrainer
from vljepa.training.tracking import read_log


@pytest.fixture(scope="module")
def model():
    """The toy model; its head takes the mean off, since a random tower embeds all texts nearly alike."""
    torch.manual_seed(0)
    toy = VLJEPA.from_parts(load_preset("toy")).eval()
    toy.residual.label_features_KE.normal_(generator=torch.Generator().manual_seed(1))
    tokens = VLJEPAProcessor(toy.config).targets(list(TEXTS))
    with torch.no_grad():
        features = toy.text_features(tokens)
        toy.y_encoder.head.bias.copy_(-toy.y_encoder.head.weight @ features.mean(0))
    return toy


def decoder_run(folder, output="run", **sections):
    """A recipe over TEXTS, without images; keyword arguments are sections that change it."""
    if not (folder / "texts.txt").exists():
        (folder / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    raw = {
        "model": "toy",
        "decoder": decoder_config(text_space="", dropout=0.1).model_dump(mode="json"),
        "vocabulary": 80,
        "data": {"root": str(folder), "train": [{"name": "texts", "path": "texts.txt"}], "held_out": 0.2, "noise": 0.0},
        "optim": {"lr": 1e-2, "warmup_steps": 2},
        "train": {"output": str(folder / output), "steps": 6, "batch_size": 8, "eval_every": 3, "log_every": 1},
    }
    raw["train"]["best_metric"] = "loss"
    raw["data"]["cache"] = {"folder": str(folder / "cache"), "views": 2}
    for name, changes in sections.items():
        raw[name] = {**raw[name], **changes} if isinstance(changes, dict) else changes
    return validate(DecoderRunConfig, raw, where="test")


def trainer(run, model):
    return DecoderTrainer(run, model=model, processor=VLJEPAProcessor(model.config), device="cpu")


def weights(run, name="last"):
    return load_file(Path(run.train.output) / name / "model.safetensors")


def same(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(run, *kinds):
    found = [line for line in read_log(Path(run.train.output)) if line["kind"] in kinds]
    for line in found:
        line.pop("samples_per_second", None)
    return found


@pytest.fixture(scope="module")
def learned(model, shapes, tmp_path_factory):
    """One run that is long enough to learn, with texts, estimates and images."""
    captions = str(shapes / "captions.jsonl")
    folder = tmp_path_factory.mktemp("learned")
    train = [
        {"name": "texts", "path": "texts.txt", "weight": 2},
        {"name": "estimates", "path": captions, "see": "estimate", "view": {"name": "text", "like": "images"}},
        {"name": "images", "path": captions, "see": "picture", "views": 2},
    ]
    validation = [{"name": "captions", "path": captions}]
    run = decoder_run(
        folder,
        data={"train": train, "validation": validation, "noise": "gap"},
        train={"steps": 120, "batch_size": 16, "eval_every": 60, "best_metric": "captions/cider"},
    )
    return run, trainer(run, model).fit()


def test_it_learns(learned):
    run, result = learned
    losses = [line["loss"] for line in lines(run, "train")]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    early, late = lines(run, "validation")
    assert late["loss"] < early["loss"] < losses[0]
    assert result.metrics["loss"] < losses[0] / 2
    assert set(result.metrics) >= {
        "captions/cider",
        "captions/distinct",
        "captions/length",
        "captions/ended",
        "round_trip/cosine",
        "round_trip/bleu4",
        "round_trip/exact",
        "round_trip/swapped_cosine",
        "round_trip/zeroed_cosine",
    }


def test_what_is_left_is_a_decoder_that_loads(learned, model):
    run, result = learned
    folder = result.model_folder
    assert folder == Path(run.train.output) / "best"
    decoder = load_decoder(folder, text_space=model.text_space_hash())
    assert decoder.config.text_space == model.text_space_hash()
    assert decoder.config.generation.num_beams in (1, 4)
    assert decoder.lm.config.vocab_size == len(DecoderTokenizer.from_folder(folder).vocabulary.processor)
    kept = json.loads((Path(run.train.output) / "result.json").read_text())
    assert kept["metrics"] == result.metrics
    (start,) = lines(run, "start")
    assert start["gap_noise"] > 0
    assert start["held_out"] > 0


def test_a_finished_run_is_given_back(learned, model, monkeypatch):
    run, result = learned
    monkeypatch.setattr(DecoderTrainer, "_build", None)
    assert trainer(run, model).fit().as_dict() == result.as_dict()


def test_eight_texts_come_back_from_their_embeddings_and_a_swapped_one_gives_the_other(model, tmp_path):
    """PITFALLS 29, with its control: a decoder that does not read the embedding says the same for all."""
    texts = list(TEXTS[:12])
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    steps = {"steps": 150, "eval_every": 150, "log_every": 50}
    run = decoder_run(tmp_path, data={"held_out": 0.3}, train=steps, decoder={"dropout": 0.0})
    trainer(run, model).fit()
    folder = Path(run.train.output) / "last"
    embedder = Embedder(model, VLJEPAProcessor(model.config))
    decoder = load_decoder(folder, text_space=model.text_space_hash())
    tokenizer = DecoderTokenizer.from_folder(folder)
    known = texts_trained(run, texts)
    assert len(known) == 8
    exact = torch.from_numpy(embedder.texts(known))
    assert tokenizer.decode(decoder.generate(exact)) == known
    assert tokenizer.decode(decoder.generate(exact.roll(1, dims=0))) == known[-1:] + known[:-1]
    decoder.prefix.weight.data.zero_()
    assert len(set(tokenizer.decode(decoder.generate(exact)))) == 1


def texts_trained(run, texts):
    from vljepa.training.decoder_texts import read_texts

    held = read_texts(run.data)[1]
    return [text for text in texts if text not in held]


def test_equal_recipes_give_equal_weights_and_other_seeds_other_ones(model, tmp_path):
    torch.manual_seed(1)
    first = decoder_run(tmp_path, "first")
    trainer(first, model).fit()
    torch.manual_seed(2)
    second = decoder_run(tmp_path, "second")
    trainer(second, model).fit()
    assert same(weights(first), weights(second))
    other = decoder_run(tmp_path, "other", train={"seed": 1})
    trainer(other, model).fit()
    assert not same(weights(first), weights(other))
