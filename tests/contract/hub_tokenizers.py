"""Tokenizers of the classes and file layouts that the hub has, trained on a few sentences."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import transformers as tf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "a cat sits on a red mat near the window",
    "two dogs are running along the beach at sunset",
    "a cup of coffee and a slice of pizza on a wooden table",
    "the quick brown fox jumps over the lazy dog",
    "a rocket on its launch pad before the start",
    "yellow lemons in a bowl, and a flower in the garden",
] * 4
_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def word_pieces(folder: Path, *, mpnet: bool = False, **options: Any) -> int:
    """BERT's or MPNet's; gives the size of the vocabulary."""
    special = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"] if mpnet else ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer, trained.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    cls = tf.MPNetTokenizer if mpnet else tf.BertTokenizer
    return _saved(cls(vocab=trained.get_vocab(), model_max_length=512, **options), folder)


def byte_pairs(cls: Any, folder: Path, *, special: list[str], **options: Any) -> int:
    """Byte-level pairs: RoBERTa's, GPT-2's and Qwen's."""
    trained = _byte_pairs(special)
    vocab, merges = _parts(trained)
    return _saved(cls(vocab=vocab, merges=merges, **options), folder)


def unigram(folder: Path) -> int:
    """XLM-R's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")
    trained.train_from_iterator(CORPUS, trainer)
    vocab = [(piece, score) for piece, score in _json(trained)["model"]["vocab"]]
    return _saved(tf.XLMRobertaTokenizer(vocab=[*vocab, ("<mask>", 0.0)], model_max_length=512), folder)


def gemma(folder: Path, cls: Any = tf.GemmaTokenizer, *, template: str, **options: Any) -> int:
    """Gemma's, and with it SigLIP 2's: pairs with a fall-back to bytes, and marks by the template."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=500, special_tokens=[*special, *_BYTES], show_progress=False)
    )
    vocab, merges = _parts(trained)
    fast = cls(vocab=vocab, merges=merges, **options)
    marks = [(mark, vocab[mark]) for mark in ("<bos>", "<eos>") if mark in template]
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    return _saved(fast, folder)


def llama3(folder: Path) -> int:
    """Llama 3's: a plain tokenizer.json with a begin mark and no pad token."""
    begin, end = "<|begin_of_text|>", "<|end_of_text|>"
    return _marked(folder, [begin, end], single=f"{begin} $A", bos_token=begin, eos_token=end)


def qwen3_embedding(folder: Path) -> int:
    """Qwen3-Embedding's: it ends every text with the end mark, and pads on the left."""
    end, turn = "<|endoftext|>", "<|im_end|>"
    return _marked(folder, [end, turn], single=f"$A {end}", eos_token=turn, pad_token=end, padding_side="left")


def _marked(folder: Path, special: list[str], *, single: str, **options: Any) -> int:
    """Byte pairs in a plain tokenizer.json, which puts the first special token where `single` says."""
    trained = _byte_pairs(special)
    trained.post_processor = processors.TemplateProcessing(single=single, special_tokens=[(special[0], 0)])
    names = ["input_ids", "attention_mask"]
    fast = tf.PreTrainedTokenizerFast(
        tokenizer_object=trained, model_input_names=names, model_max_length=131072, **options
    )
    return _saved(fast, folder)


def clip(folder: Path) -> int:
    """CLIP's own vocabulary, which open_clip carries, in transformers' files."""
    from open_clip.tokenizer import SimpleTokenizer

    own = SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {names.get(token, token): number for token, number in own.encoder.items()}
    fast = tf.CLIPTokenizer(vocab=vocab, merges=list(own.bpe_ranks), model_max_length=77)
    return _saved(fast, folder)


def siglip(folder: Path) -> int:
    """SigLIP 1's: a sentencepiece model with 1 as padding and end, and no attention mask."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=120, pad_id=-1, unk_id=2, bos_id=-1, eos_id=1,
        hard_vocab_limit=False, minloglevel=2, user_defined_symbols=["<filler>"],
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    fast = tf.SiglipTokenizer(vocab_file=str(folder / "spiece.model"), model_input_names=["input_ids"])
    return _saved(fast, folder)


def _byte_pairs(special: list[str]) -> Tokenizer:
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    return trained


def _json(tokenizer: Tokenizer) -> Any:
    return json.loads(tokenizer.to_str())


def _parts(trained: Tokenizer) -> tuple[dict[str, int], list[tuple[str, str]]]:
    merges = _json(trained)["model"]["merges"]
    return trained.get_vocab(), [tuple(one) if isinstance(one, list) else tuple(one.split(" ")) for one in merges]


def _saved(tokenizer: Any, folder: Path) -> int:
    tokenizer.save_pretrained(folder)
    return len(tokenizer)
