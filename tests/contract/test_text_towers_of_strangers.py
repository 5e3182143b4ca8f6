"""Text towers in the layouts that the hub has: our embedding is what the library's own call gives.

Random weights, but real configuration, pooling, prompt and tokenizer files. Each library is asked by its own front
door: sentence-transformers' `encode_document`, transformers' `get_text_features`, open_clip's `encode_text`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
import transformers as tf
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor

from tests.contract import hub_tokenizers
from vljepa.backends import backend_of, part_folder
from vljepa.backends.resolve import resolve_text
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.errors import ConfigError, PartError
from vljepa.models.y_encoder import YEncoder

LONG = "a cup of coffee and a slice of pizza on a wooden table " * 12
TEXTS = ["a cat", "", LONG, "\u732b\u3068\u72ac", "Two DOGS!", "\u0434\u0432\u0430"]
Library = Callable[[list[str]], Tensor]

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_DECODER = {**_SIZES, "num_key_value_heads": 1, "head_dim": 16}
_TOWER = {**_SIZES, "projection_dim": 24}
_VISION = {**_SIZES, "image_size": 32, "patch_size": 16}


def _sentence(
    folder: Path,
    *,
    pooling: str,
    length: int,
    prompts: dict[str, str] | None = None,
    used: str | None = None,
    heads: tuple[int, ...] = (),
) -> Library:
    """Files of a sentence-transformers model around the transformer that lies in the folder."""
    words = Transformer(str(folder), max_seq_length=length)
    modules: list[Any] = [words, Pooling(words.get_embedding_dimension(), pooling_mode=pooling)]
    for wide, narrow in itertools.pairwise((32, *heads)):
        modules.append(Dense(wide, narrow, bias=False, activation_function=torch.nn.Identity()))
    modules.append(Normalize())
    SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save_pretrained(str(folder))
    again = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: torch.from_numpy(again.encode_document(texts, prompt_name=used))


def _plain(cls: Any, config: Any, folder: Path) -> None:
    torch.manual_seed(1)
    model = cls(config)
    shaken(model)
    model.save_pretrained(folder)


def shaken(model: torch.nn.Module) -> None:
    """Larger weights than a training begins with, so that texts are far apart and every mistake is seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)


def minilm(folder: Path) -> Library:
    vocabulary = hub_tokenizers.word_pieces(folder)
    _plain(tf.BertModel, tf.BertConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _sentence(folder, pooling="mean", length=64)


def bge(folder: Path) -> Library:
    vocabulary = hub_tokenizers.word_pieces(folder)
    _plain(tf.BertModel, tf.BertConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _sentence(folder, pooling="cls", length=64, prompts={"query": "Represent this sentence: ", "document": ""})


def roberta(folder: Path) -> Library:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = hub_tokenizers.byte_pairs(tf.RobertaTokenizer, folder, special=special, model_max_length=512)
    config = tf.RobertaConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    _plain(tf.RobertaModel, config, folder)
    return _sentence(folder, pooling="mean", length=64)


def mpnet(folder: Path) -> Library:
    vocabulary = hub_tokenizers.word_pieces(folder, mpnet=True)
    config = tf.MPNetConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    _plain(tf.MPNetModel, config, folder)
    return _sentence(folder, pooling="mean", length=64)


def xlm_roberta(folder: Path) -> Library:
    vocabulary = hub_tokenizers.unigram(folder)
    config = tf.XLMRobertaConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    _plain(tf.XLMRobertaModel, config, folder)
    prompts = {"query": "query: ", "passage": "passage: "}
    library = _sentence(folder, pooling="mean", length=64, prompts=prompts, used="passage")
    stated = folder / "config_sentence_transformers.json"  # an older version's, which adds no empty prompts of its own
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "prompts": prompts}))
    return library


def qwen3_embedding(folder: Path) -> Library:
    vocabulary = hub_tokenizers.qwen3_embedding(folder)
    config = tf.Qwen3Config(**_DECODER, vocab_size=vocabulary, max_position_embeddings=256)
    _plain(tf.Qwen3Model, config, folder)
    prompts = {"query": "Instruct: find\nQuery:", "document": ""}
    return _sentence(folder, pooling="lasttoken", length=256, prompts=prompts)


def embedding_gemma(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(folder, template="<bos> $A <eos>")
    config = tf.Gemma3TextConfig(
        **_DECODER, vocab_size=vocabulary, max_position_embeddings=256, use_bidirectional_attention=True,
        sliding_window=8, pad_token_id=0,
    )  # fmt: skip
    _plain(tf.Gemma3TextModel, config, folder)
    prompts = {"query": "task: search result | query: ", "document": "title: none | text: "}
    return _sentence(folder, pooling="mean", heads=(48, 40), length=256, prompts=prompts)


def _of_class(folder: Path, *, end: str | None = None) -> Library:
    """Last valid token of a causal language model, each text alone: nothing is padded."""
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    def last(text: str) -> Tensor:
        ids = tokenizer(text or end or "", return_tensors="pt", truncation=True, max_length=64)["input_ids"]
        hidden: Tensor = model(input_ids=ids).last_hidden_state
        return hidden[0, -1]

    return torch.no_grad()(lambda texts: torch.stack([last(text) for text in texts]))


def gpt2(folder: Path) -> Library:
    vocabulary = hub_tokenizers.byte_pairs(tf.GPT2Tokenizer, folder, special=["<|endoftext|>"], model_max_length=64)
    config = tf.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=vocabulary, n_positions=64)
    _plain(tf.GPT2Model, config, folder)
    return _of_class(folder, end="<|endoftext|>")


def llama(folder: Path) -> Library:
    vocabulary = hub_tokenizers.llama3(folder)
    _plain(tf.LlamaModel, tf.LlamaConfig(**_DECODER, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _of_class(folder)


def _features(cls: Any, folder: Path, **options: Any) -> Library:
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    model = cls.from_pretrained(folder, dtype=torch.float32).eval()

    def features(texts: list[str]) -> Tensor:
        out = model.get_text_features(**tokenizer(texts, truncation=True, return_tensors="pt", **options))
        pooled: Tensor = out if isinstance(out, Tensor) else out.pooler_output
        return pooled

    return torch.no_grad()(features)


def clip(folder: Path) -> Library:
    vocabulary = hub_tokenizers.clip(folder)
    text = {
        **_TOWER,
        "vocab_size": vocabulary,
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
        "bos_token_id": 49406,
    }
    _plain(tf.CLIPModel, tf.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=24), folder)
    return _features(tf.CLIPModel, folder, padding=True)


def clip_with_the_old_end_token(folder: Path) -> Library:
    """OpenAI's own repositories still say `eos_token_id: 2`: the end is found as the largest id."""
    clip(folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(raw))
    return _features(tf.CLIPModel, folder, padding=True)


def siglip(folder: Path) -> Library:
    vocabulary = hub_tokenizers.siglip(folder)
    text = {**_SIZES, "vocab_size": max(vocabulary, 64), "max_position_embeddings": 16, "projection_size": 32}
    _plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=_VISION), folder)
    return _features(tf.SiglipModel, folder, padding="max_length", max_length=16)


def siglip2(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(
        folder, tf.GemmaTokenizer, template="$A <eos>", model_input_names=["input_ids"], padding_side="right",
        model_max_length=16,
    )  # fmt: skip
    text = {**_SIZES, "vocab_size": vocabulary, "max_position_embeddings": 16, "projection_size": 32}
    _plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=_VISION), folder)
    return _features(tf.SiglipModel, folder, padding="max_length")


def siglip2_with_a_mask(folder: Path) -> Library:
    """transformers' own class of tokenizer gives a mask, which the model was not trained with."""
    vocabulary = hub_tokenizers.gemma(folder, tf.Siglip2Tokenizer, template="$A <eos>")
    text = {**_SIZES, "vocab_size": vocabulary, "max_position_embeddings": 16, "projection_size": 32}
    _plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=_VISION), folder)
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    assert "attention_mask" in tokenizer.model_input_names
    model = tf.SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()

    def features(texts: list[str]) -> Tensor:
        ids = tokenizer(texts, truncation=True, padding="max_length", max_length=16, return_tensors="pt")["input_ids"]
        pooled: Tensor = model.get_text_features(input_ids=ids).pooler_output
        return pooled

    return torch.no_grad()(features)


def lowered(folder: Path) -> Library:
    """A cased tokenizer, and a model that wants lower case all the same."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = hub_tokenizers.byte_pairs(tf.RobertaTokenizer, folder, special=special, model_max_length=512)
    config = tf.RobertaConfig(**_SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    _plain(tf.RobertaModel, config, folder)
    library = _sentence(folder, pooling="mean", length=64)
    stated = folder / "sentence_bert_config.json"
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "do_lower_case": True}))
    return lambda texts: library([text.lower() for text in texts])


def _open_clip(folder: Path, model_cfg: dict[str, Any]) -> Library:
    folder.mkdir(exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    torch.manual_seed(1)
    own = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    shaken(own)
    save_file({k: v.contiguous() for k, v in own.state_dict().items()}, folder / "open_clip_model.safetensors")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return torch.no_grad()(lambda texts: own.encode_text(tokenizer(texts)))


OPEN_CLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def open_clip_clip(folder: Path) -> Library:
    return _open_clip(folder, OPEN_CLIP)


def open_clip_custom(folder: Path) -> Library:
    return _open_clip(folder, {**OPEN_CLIP, "custom_text": True})


def open_clip_siglip(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(folder, template="$A <eos>", padding_side="right")
    text = {
        "context_length": 16, "vocab_size": vocabulary, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 32, "heads": 2, "layers": 2, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
    }  # fmt: skip
    return _open_clip(folder, {**OPEN_CLIP, "init_logit_bias": -10, "custom_text": True, "text_cfg": text})


def open_clip_coca(folder: Path) -> Library:
    vision = {**OPEN_CLIP["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**OPEN_CLIP["text_cfg"], "context_length": 76, "embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    config = {**OPEN_CLIP, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder, "custom_text": True}
    return _open_clip(folder, config)


TOWERS: dict[str, Callable[[Path], Library]] = {
    one.__name__: one
    for one in (
        minilm, bge, roberta, mpnet, xlm_roberta, qwen3_embedding, embedding_gemma, gpt2, llama,
        clip, clip_with_the_old_end_token,
        siglip2_with_a_mask,
        lowered, siglip, siglip2,
        open_clip_clip, open_clip_custom, open_clip_siglip, open_clip_coca,
    )
}  # fmt: skip


def part_of(name: str, folder: Path) -> PartSpec:
    backend = "open_clip" if name.startswith("open_clip") else "transformers"
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
        (tf.ViTConfig(**_SIZES).to_dict(), r"'vit'"),
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
        (tf.CLIPTextConfig(**_SIZES).to_dict(), r"is one tower of a dual encoder.*name the whole model"),
        (tf.SiglipTextConfig(**_SIZES).to_dict(), "is one tower of a dual encoder"),
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
