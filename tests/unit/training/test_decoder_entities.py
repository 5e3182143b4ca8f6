"""Training a Y-Decoder that reads entities: texts by their nouns, images by the classifier."""

import json

import pytest
import torch

from tests.decoders import decoder_config
from tests.unit.training.test_decoder import (  # noqa: F401  (the fixture)
    decoder_run,
    lines,
    model,
    same,
    trainer,
    weights,
)
from tests.unit.training.test_decoder_runs import cut
from vljepa.checkpoint.decoder import load_decoder
from vljepa.configs import LoraConfig
from vljepa.errors import ConfigError
from vljepa.inference.embed import Embedder
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import DecoderTokenizer

NAMES = ["cat", "dog", "car", "tree", "house", "boat", "bird", "fish", "cup", "ball", "shoe", "book"]
PLACES = ("on a table", "in the snow", "by a river", "under the moon")
ENTITIES = {"names": NAMES, "count": 2, "max_pieces": 8}


@pytest.fixture
def run(tmp_path, shapes):
    """A recipe whose texts name the toy's classes, with images too."""
    texts = [f"a {name} {place}" for name in NAMES for place in PLACES]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    captions = str(shapes / "captions.jsonl")

    def run(output, **train):
        return decoder_run(
            tmp_path,
            output,
            decoder=decoder_config(text_space="", dropout=0.1, entities=ENTITIES).model_dump(mode="json"),
            vocabulary=120,
            data={
                "train": [
                    {"name": "texts", "path": "texts.txt", "weight": 3},
                    {"name": "images", "path": captions, "see": "picture", "views": 1},
                ],
                "phrases": ["images"],
            },
            train=train,
        )

    return run


def test_a_cut_and_resumed_run_is_the_uninterrupted_one_to_the_last_bit(run, model):
    whole, pieces = run("whole"), run("pieces")
    result = trainer(whole, model).fit()
    cut(pieces, model, 4)
    assert trainer(pieces, model).fit().metrics == result.metrics
    assert lines(pieces, "train", "validation") == lines(whole, "train", "validation")
    assert same(weights(pieces), weights(whole))


def test_names_words_and_phrases_are_kept_and_a_told_name_is_said(run, model, shapes):
    recipe = run("learned", steps=150, batch_size=16, eval_every=150)
    folder = trainer(recipe, model).fit().model_folder
    decoder = load_decoder(folder, text_space=model.text_space_hash())
    tokenizer = DecoderTokenizer.from_folder(folder)
    rows = [json.loads(line)["text"] for line in (shapes / "captions.jsonl").read_text().splitlines()]
    firsts = {text if isinstance(text, str) else text[0] for text in rows}
    assert decoder.phrases
    assert set(decoder.phrases) <= firsts
    assert {"boat", "river"} <= set(decoder.lexicon)
    pieces = [[one for one in row if one >= 0] for row in decoder.names_KM.tolist()]
    assert [tokenizer.decode(torch.tensor([row]))[0] for row in pieces] == NAMES
    embedder = Embedder(model, VLJEPAProcessor(model.config))
    rows = torch.from_numpy(embedder.texts(["a boat by a river", "a cat in the snow"]))
    told = decoder.nearest(rows)
    strong = type(told)(torch.tensor([[4, 1], [9, 2]]), torch.tensor([[0.95, 0.01], [0.95, 0.01]]))
    said = tokenizer.decode(decoder.generate(rows, entities=strong), strong)
    assert "house" in said[0]
    assert "ball" in said[1]


def test_what_goes_on_keeps_the_words_and_learns_those_of_its_own_texts(run, model, tmp_path):
    start = trainer(run("start"), model).fit().model_folder
    (tmp_path / "texts.txt").write_text("a cat\na dorblat on a table\na dog\na car\na tree\na house", encoding="utf-8")
    recipe = run("own")
    config = recipe.decoder.model_copy(update={"lora": LoraConfig(rank=2, alpha=4.0)})
    recipe = recipe.model_copy(update={"start": str(start), "decoder": config})
    folder = trainer(recipe, model).fit().model_folder
    lexicon = set(load_decoder(folder, text_space=model.text_space_hash()).lexicon)
    assert "dorblat" in lexicon  # it stands in one text alone
    assert set(load_decoder(start, text_space=model.text_space_hash()).lexicon) < lexicon


def test_phrases_are_of_a_training_source(run, model):
    from vljepa.configs import DecoderRunConfig, validate

    raw = run("x").model_dump(mode="json")
    raw["data"]["phrases"] = ["nowhere"]
    with pytest.raises(ConfigError, match=r"data.phrases names no training source: nowhere"):
        validate(DecoderRunConfig, raw, where="test")
