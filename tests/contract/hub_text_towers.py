"""Folders of text towers in the layouts that the hub has, with small random weights."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
import transformers as tf
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor

from tests.contract import hub_tokenizers

Library = Callable[[list[str]], Tensor]

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_DECODER = {**SIZES, "num_key_value_heads": 1, "head_dim": 16}
TOWER = {**SIZES, "projection_dim": 24}
VISION = {**SIZES, "image_size": 32, "patch_size": 16}


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


def plain(cls: Any, config: Any, folder: Path) -> None:
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
    plain(tf.BertModel, tf.BertConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _sentence(folder, pooling="mean", length=64)


def bge(folder: Path) -> Library:
    vocabulary = hub_tokenizers.word_pieces(folder)
    plain(tf.BertModel, tf.BertConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _sentence(folder, pooling="cls", length=64, prompts={"query": "Represent this sentence: ", "document": ""})


def roberta(folder: Path) -> Library:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = hub_tokenizers.byte_pairs(tf.RobertaTokenizer, folder, special=special, model_max_length=512)
    config = tf.RobertaConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    plain(tf.RobertaModel, config, folder)
    return _sentence(folder, pooling="mean", length=64)


def mpnet(folder: Path) -> Library:
    vocabulary = hub_tokenizers.word_pieces(folder, mpnet=True)
    config = tf.MPNetConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    plain(tf.MPNetModel, config, folder)
    return _sentence(folder, pooling="mean", length=64)


def xlm_roberta(folder: Path) -> Library:
    vocabulary = hub_tokenizers.unigram(folder)
    config = tf.XLMRobertaConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    plain(tf.XLMRobertaModel, config, folder)
    prompts = {"query": "query: ", "passage": "passage: "}
    library = _sentence(folder, pooling="mean", length=64, prompts=prompts, used="passage")
    stated = folder / "config_sentence_transformers.json"  # an older version's, which adds no empty prompts of its own
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "prompts": prompts}))
    return library


def qwen3_embedding(folder: Path) -> Library:
    vocabulary = hub_tokenizers.qwen3_embedding(folder)
    config = tf.Qwen3Config(**_DECODER, vocab_size=vocabulary, max_position_embeddings=256)
    plain(tf.Qwen3Model, config, folder)
    prompts = {"query": "Instruct: find\nQuery:", "document": ""}
    return _sentence(folder, pooling="lasttoken", length=256, prompts=prompts)


def embedding_gemma(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(folder, template="<bos> $A <eos>")
    config = tf.Gemma3TextConfig(
        **_DECODER, vocab_size=vocabulary, max_position_embeddings=256, use_bidirectional_attention=True,
        sliding_window=8, pad_token_id=0,
    )  # fmt: skip
    plain(tf.Gemma3TextModel, config, folder)
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
    plain(tf.GPT2Model, config, folder)
    return _of_class(folder, end="<|endoftext|>")


def llama(folder: Path) -> Library:
    vocabulary = hub_tokenizers.llama3(folder)
    plain(tf.LlamaModel, tf.LlamaConfig(**_DECODER, vocab_size=vocabulary, max_position_embeddings=64), folder)
    return _of_class(folder)


def class_features(cls: Any, folder: Path, **options: Any) -> Library:
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
        **TOWER,
        "vocab_size": vocabulary,
        "max_position_embeddings": 77,
        "eos_token_id": 49407,
        "bos_token_id": 49406,
    }
    plain(tf.CLIPModel, tf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=24), folder)
    return class_features(tf.CLIPModel, folder, padding=True)


def clip_with_the_old_end_token(folder: Path) -> Library:
    """OpenAI's own repositories still say `eos_token_id: 2`: the end is found as the largest id."""
    clip(folder)
    raw = json.loads((folder / "config.json").read_text())
    raw["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(raw))
    return class_features(tf.CLIPModel, folder, padding=True)


def siglip(folder: Path) -> Library:
    vocabulary = hub_tokenizers.siglip(folder)
    text = {**SIZES, "vocab_size": max(vocabulary, 64), "max_position_embeddings": 16, "projection_size": 32}
    plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=VISION), folder)
    return class_features(tf.SiglipModel, folder, padding="max_length", max_length=16)


def siglip2(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(
        folder, tf.GemmaTokenizer, template="$A <eos>", model_input_names=["input_ids"], padding_side="right",
        model_max_length=16,
    )  # fmt: skip
    text = {**SIZES, "vocab_size": vocabulary, "max_position_embeddings": 16, "projection_size": 32}
    plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=VISION), folder)
    return class_features(tf.SiglipModel, folder, padding="max_length")


def siglip2_with_a_mask(folder: Path) -> Library:
    """transformers' own class of tokenizer gives a mask, which the model was not trained with."""
    vocabulary = hub_tokenizers.gemma(folder, tf.Siglip2Tokenizer, template="$A <eos>")
    text = {**SIZES, "vocab_size": vocabulary, "max_position_embeddings": 16, "projection_size": 32}
    plain(tf.SiglipModel, tf.SiglipConfig(text_config=text, vision_config=VISION), folder)
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
    config = tf.RobertaConfig(**SIZES, vocab_size=vocabulary, max_position_embeddings=66, pad_token_id=1)
    plain(tf.RobertaModel, config, folder)
    library = _sentence(folder, pooling="mean", length=64)
    stated = folder / "sentence_bert_config.json"
    stated.write_text(json.dumps({**json.loads(stated.read_text()), "do_lower_case": True}))
    return lambda texts: library([text.lower() for text in texts])


def open_clip_folder(folder: Path, model_cfg: dict[str, Any]) -> Library:
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
    return open_clip_folder(folder, OPEN_CLIP)


def open_clip_custom(folder: Path) -> Library:
    return open_clip_folder(folder, {**OPEN_CLIP, "custom_text": True})


def open_clip_siglip(folder: Path) -> Library:
    vocabulary = hub_tokenizers.gemma(folder, template="$A <eos>", padding_side="right")
    text = {
        "context_length": 16, "vocab_size": vocabulary, "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "width": 32, "heads": 2, "layers": 2, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
    }  # fmt: skip
    return open_clip_folder(folder, {**OPEN_CLIP, "init_logit_bias": -10, "custom_text": True, "text_cfg": text})


def open_clip_coca(folder: Path) -> Library:
    vision = {**OPEN_CLIP["vision_cfg"], "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    text = {**OPEN_CLIP["text_cfg"], "context_length": 76, "embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "attn_pooler_heads": 2}
    config = {**OPEN_CLIP, "vision_cfg": vision, "text_cfg": text, "multimodal_cfg": decoder, "custom_text": True}
    return open_clip_folder(folder, config)


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
