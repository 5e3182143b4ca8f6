"""Text towers in the layouts that the hub has: our embedding is what the library's own call gives.

Random weights, but real configuration, pooling, prompt and tokenizer files. Each library is asked by its own front
door: sentence-transformers' `encode_document`, transformers' `get_text_features`, open_clip's `encode_text`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers as tf
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor

from tests.contract.hub_text_towers import SIZES, TOWERS
from vljepa.backends import backend_of, part_folder
from vljepa.backends.resolve import resolve_text
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.configs.part import BACKENDS
from vljepa.errors import ConfigError, PartError
from vljepa.models.y_encoder import YEncoder

LONG = "a cup of coffee and a slice of pizza on a wooden table " * 12
TEXTS = ["a cat", "", LONG, "\u732b\u3068\u72ac", "Two DOGS!", "\u0434\u0432\u0430"]


def part_of(name: str, folder: Path) -> PartSpec:
    backend = next((one for one in BACKENDS if name.startswith(f"{one}_")), "transformers")
    return PartSpec.model_validate(f"{backend}:{folder}")


def encoder_of(name: str, folder: Path, **options: Any) -> tuple[YEncoder, Callable[[list[str]], Tensor]]:
    """Our encoder with its weights, and what it says of texts, as a processor and a model do."""
    part = part_of(name, folder)
    backend = backend_of(part)
    raw = json.loads((folder / backend.config_file).read_text())
    config = resolve_text(YEncoderConfig(part=part.model_copy(update={"config": raw}), **options))
    encoder = YEncoder(config, embed_dim=40).eval()
    encoder.backbone.load_pretrained(folder)
    tokenizer = backend.tokenizer(part, folder)
    assert config.prefix is not None
    assert config.max_tokens is not None

    def features(texts: list[str]) -> Tensor:
        ids, mask = tokenizer([f"{config.prefix}{text}" for text in texts], max_tokens=config.max_tokens or 0)
        return encoder.features(ids, mask)

    return encoder, torch.no_grad()(features)


@pytest.mark.parametrize("name", TOWERS)
def test_our_embedding_is_the_library_s_own_alone_and_batched(name: str, tmp_path: Path) -> None:
    library = TOWERS[name](tmp_path / "part")
    _, ours = encoder_of(name, tmp_path / "part")
    wanted = library(TEXTS)
    assert F.cosine_similarity(wanted[0], wanted[2], dim=0) < 0.99, "the texts are told apart"
    for got in (ours(TEXTS), torch.cat([ours([text]) for text in TEXTS])):
        assert got.shape == wanted.shape
        assert F.cosine_similarity(got, wanted).min() > 0.9999, F.cosine_similarity(got, wanted)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("minilm", {"pooling": "mean", "prefix": "", "max_tokens": 64}),
        ("bge", {"pooling": "cls", "prefix": "", "max_tokens": 64}),
        ("roberta", {"pooling": "mean", "max_tokens": 64}),
        ("xlm_roberta", {"pooling": "mean", "prefix": "passage: ", "max_tokens": 64}),
        ("qwen3_embedding", {"pooling": "last", "prefix": ""}),
        ("embedding_gemma", {"pooling": "mean", "prefix": "title: none | text: "}),
        ("gpt2", {"pooling": "last", "max_tokens": 64}),
        ("clip", {"pooling": "pooler", "max_tokens": 77}),
        ("siglip", {"pooling": "pooler", "max_tokens": 16}),
        ("open_clip_siglip", {"pooling": "pooler", "max_tokens": 16}),
    ],
)
def test_what_the_files_say_is_resolved_and_an_override_wins(name: str, stated: dict[str, Any], tmp_path: Path) -> None:
    TOWERS[name](tmp_path / "part")
    encoder, _ = encoder_of(name, tmp_path / "part")
    assert {key: getattr(encoder.config, key) for key in stated} == stated
    other, _ = encoder_of(name, tmp_path / "part", prefix="mine: ", max_tokens=7)
    assert (other.config.prefix, other.config.max_tokens) == ("mine: ", 7)


def test_dense_heads_are_the_part_s_own(tmp_path: Path) -> None:
    TOWERS["embedding_gemma"](tmp_path / "part")
    encoder, _ = encoder_of("embedding_gemma", tmp_path / "part")
    assert encoder.config.dense is not None
    assert [(one.in_features, one.out_features, one.bias) for one in encoder.config.dense] == [
        (32, 48, False),
        (48, 40, False),
    ]
    assert encoder.width == 40
    plain, _ = encoder_of("embedding_gemma", tmp_path / "part", dense=[])
    assert plain.width == 32


@pytest.mark.parametrize("change", ["max", "include_prompt", "CNN"])
def test_a_module_that_we_do_not_have_is_refused(change: str, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    TOWERS["minilm"](folder)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    if change == "max":
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({**pooling, "pooling_mode": ["mean", "max"]}))
    elif change == "include_prompt":
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({**pooling, "include_prompt": False}))
    else:
        modules = json.loads((folder / "modules.json").read_text())
        modules[1]["type"] = "sentence_transformers.models.CNN"
        (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(PartError, match=r"sentence-transformers model with .*y_encoder\.pooling"):
        encoder_of("minilm", folder)
    encoder_of("minilm", folder, pooling="mean", dense=[], prefix="", max_tokens=64)


def test_a_pooler_that_the_files_lack_is_refused_and_not_made_up(tmp_path: Path) -> None:
    """It was random, and another one at each load."""
    TOWERS["minilm"](tmp_path / "part")
    encoder, features = encoder_of("minilm", tmp_path / "part", pooling="pooler")
    own = tf.BertModel.from_pretrained(tmp_path / "part").eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(tmp_path / "part")
    with torch.no_grad():
        wanted = own(**tokenizer(["a cat"], return_tensors="pt")).pooler_output
    torch.testing.assert_close(features(["a cat"]), wanted, rtol=0, atol=1e-5)
    weights = load_file(tmp_path / "part" / "model.safetensors")
    kept = {name: one for name, one in weights.items() if not name.startswith("pooler.")}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "part" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PartError, match=r"lack 2 tensors, first 'pooler\."):
        encoder.backbone.load_pretrained(tmp_path / "part")
    encoder_of("minilm", tmp_path / "part")


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_pooler_that_the_class_lacks_is_refused(name: str, tmp_path: Path) -> None:
    TOWERS[name](tmp_path / "part")
    with pytest.raises(ConfigError, match=r"'pooler', but .* has no pooler"):
        encoder_of(name, tmp_path / "part", pooling="pooler")


@pytest.mark.parametrize("name", ["clip", "open_clip_clip"])
def test_the_tower_of_a_dual_encoder_pools_by_itself(name: str, tmp_path: Path) -> None:
    TOWERS[name](tmp_path / "part")
    with pytest.raises(ConfigError, match=r"pool by themselves.*pooling=pooler"):
        encoder_of(name, tmp_path / "part", pooling="mean")


def test_a_tokenizer_that_is_not_there_is_named(tmp_path: Path) -> None:
    TOWERS["open_clip_siglip"](tmp_path / "part")
    for file in (tmp_path / "part").glob("tokenizer*"):
        file.unlink()
    with pytest.raises(PartError, match=r"lacks its tokenizer 'timm/ViT-B-16-SigLIP2'"):
        encoder_of("open_clip_siglip", tmp_path / "part")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "no_such_model"}, r"cannot read the config of .* \(model_type 'no_such_model'\)"),
        ({"hidden_size": 8}, r"cannot read the config of .* \(model_type None\)"),
        (tf.ViTConfig(**SIZES).to_dict(), r"'vit'"),
    ],
)
def test_a_config_that_is_no_text_model_s_is_refused_in_a_sentence(config: dict[str, Any], message: str) -> None:
    part = PartSpec(backend="transformers", name="t", source="random", config=config)
    with pytest.raises(PartError, match=message):
        YEncoder(YEncoderConfig(part=part), embed_dim=8)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (tf.T5Config(d_model=32, num_layers=1, num_heads=2, vocab_size=64).to_dict(), "is an encoder with a decoder"),
        (tf.BartConfig(d_model=32, encoder_layers=1, decoder_layers=1).to_dict(), "is an encoder with a decoder"),
        (tf.CLIPTextConfig(**SIZES).to_dict(), r"is one tower of a dual encoder.*name the whole model"),
        (tf.SiglipTextConfig(**SIZES).to_dict(), "is one tower of a dual encoder"),
    ],
)
def test_half_of_a_model_is_refused_and_not_pooled_somehow(config: dict[str, Any], message: str) -> None:
    part = PartSpec(backend="transformers", name="t", source="random", config=config)
    for make in (lambda: YEncoder(YEncoderConfig(part=part), embed_dim=8), lambda: TransformersText(part)):
        with pytest.raises(PartError, match=message):
            make()


def test_an_empty_prompt_for_documents_is_no_other_prompt(tmp_path: Path) -> None:
    """sentence-transformers writes it by itself; the query's is not put before documents."""
    TOWERS["minilm"](tmp_path / "part")
    stated = tmp_path / "part" / "config_sentence_transformers.json"
    prompts = {"prompts": {"document": "", "query": "Represent: "}, "default_prompt_name": "query"}
    stated.write_text(json.dumps({**json.loads(stated.read_text()), **prompts}))
    encoder, features = encoder_of("minilm", tmp_path / "part")
    assert encoder.config.prefix == ""
    wanted = torch.from_numpy(SentenceTransformer(str(tmp_path / "part"), device="cpu").encode_document(TEXTS))
    assert F.cosine_similarity(features(TEXTS), wanted).min() > 0.9999
    prompts["prompts"].pop("document")  # type: ignore[attr-defined]
    stated.write_text(json.dumps({**json.loads(stated.read_text()), **prompts}))
    assert encoder_of("minilm", tmp_path / "part")[0].config.prefix == "Represent: "


def test_a_transformer_in_a_sub_folder_is_said(tmp_path: Path) -> None:
    TOWERS["minilm"](tmp_path / "part")
    (tmp_path / "part" / "config.json").unlink()
    with pytest.raises(PartError, match=r"whose transformer lies in a sub-folder\. Fix: name that folder"):
        part_folder(part_of("minilm", tmp_path / "part"))


@pytest.mark.parametrize("backend", ["timm", "open_clip"])
def test_layers_of_another_library_are_no_predictor(backend: str) -> None:
    part = PartSpec(backend=backend, name="t", source="random", config={"architecture": "test_vit", "model_cfg": {}})
    with pytest.raises(PartError, match=rf"is no text transformer: {backend} brings none"):
        TransformersText(part)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("minilm", {"pooling": "cls"}),
        ("bge", {"pooling": "mean"}),
        ("xlm_roberta", {"prefix": ""}),
        ("qwen3_embedding", {"pooling": "mean"}),
        ("embedding_gemma", {"prefix": "task: search result | query: "}),
        ("roberta", {"max_tokens": 16}),
    ],
)
def test_another_use_gives_other_embeddings(name: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    """The control: what the files say is what makes them equal."""
    library = TOWERS[name](tmp_path / "part")
    _, ours = encoder_of(name, tmp_path / "part", **wrong)
    assert F.cosine_similarity(ours(TEXTS), library(TEXTS)).min() < 0.99


@pytest.mark.parametrize("name", ["siglip", "siglip2", "open_clip_siglip"])
def test_a_tower_that_reads_its_last_position_is_never_given_a_shorter_text(name: str, tmp_path: Path) -> None:
    """Padded to the batch's longest, one text alone and in a batch had a cosine of 0.30."""
    TOWERS[name](tmp_path / "part")
    part = part_of(name, tmp_path / "part")
    tokenizer = backend_of(part).tokenizer(part, tmp_path / "part")
    (alone, read), (batched, _) = tokenizer(["a cat"], max_tokens=3), tokenizer(["a cat", LONG], max_tokens=3)
    assert alone.shape == (1, 16)
    assert torch.equal(alone[0], batched[0])
    assert read.all(), "the padding is read, too"
    encoder, _ = encoder_of(name, tmp_path / "part")
    with torch.no_grad():
        whole = encoder.features(alone, read)
        if name != "open_clip_siglip":  # whose positions do not fit a shorter text at all
            cut = encoder.features(alone[:, :4], read[:, :4])
            assert F.cosine_similarity(whole, cut).item() < 0.99, "the control"
