"""Texts to the Y-Decoder's ids and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vljepa.backends import part_folder
from vljepa.configs import YDecoderConfig
from vljepa.errors import CheckpointError
from vljepa.parts.saved import LEXICON_FILE, TOKENIZER_FOLDER, VOCABULARY_FILE, read_decoder_config, read_lexicon
from vljepa.processing.text import normalise_text

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
PAD, BEGIN, END, UNKNOWN = 0, 1, 2, 3
"""Ids of a vocabulary from `train_vocabulary`."""


class Vocabulary(Protocol):
    """Pieces of one text as ids, without begin and end mark; and back, marks left out."""

    begin: int
    end: int

    def pieces(self, text: str) -> list[int]:
        """Ids of a text."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids."""
        ...


class DecoderTokenizer:
    """Tokenizer of a Y-Decoder.

    Args:
        vocabulary: Sentencepiece model of a decoder from scratch, or the tokenizer of a pretrained one.
        lowercase: Bring texts into the normal form of `normalise_text` first.
        lexicon: Words of the texts that the decoder was trained on; without, any word is one.
    """

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool, lexicon: Sequence[str] = ()) -> None:
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self._lexicon = frozenset(lexicon)

    @classmethod
    def from_folder(cls, folder: str | Path) -> DecoderTokenizer:
        """Tokenizer of a saved decoder.

        Raises:
            CheckpointError: The folder holds no decoder, or its vocabulary is missing or broken.
        """
        config = read_decoder_config(Path(folder))
        file = Path(folder) / VOCABULARY_FILE
        if config.part.source == "random" and not file.is_file():
            raise CheckpointError(f"{str(folder)!r} lacks {VOCABULARY_FILE}.", fix="copy or save the decoder again.")
        lexicon = read_lexicon(Path(folder) / LEXICON_FILE)
        if config.part.source == "random":
            return cls.of(config, vocabulary=file.read_bytes(), lexicon=lexicon)
        own = Path(folder) / TOKENIZER_FOLDER
        pieces = _PretrainedPieces(own if own.is_dir() else part_folder(config.part))
        return cls(pieces, lowercase=config.lowercase, lexicon=lexicon)

    @classmethod
    def of(cls, config: YDecoderConfig, *, vocabulary: bytes | None, lexicon: Sequence[str] = ()) -> DecoderTokenizer:
        """Tokenizer of a config; a decoder from scratch needs its serialised vocabulary."""
        if vocabulary is not None:
            return cls(_SentencePieces(vocabulary), lowercase=config.lowercase, lexicon=lexicon)
        return cls(_PretrainedPieces(part_folder(config.part)), lowercase=config.lowercase, lexicon=lexicon)

    def encode(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """Ids and mask [B, L] from begin to end mark, right-padded; longer texts are cut and still end."""
        marks = self.vocabulary
        rows = [[marks.begin, *marks.pieces(self._normal(text))[: max_tokens - 1], marks.end] for text in texts]
        length = max(len(row) for row in rows)
        ids_BL = torch.tensor([row + [marks.end] * (length - len(row)) for row in rows])
        lengths_B = torch.tensor([len(row) for row in rows])
        return ids_BL, torch.arange(length) < lengths_B[:, None]

    def name(self, text: str) -> list[int]:
        """Ids of a name, without begin and end mark."""
        return self.vocabulary.pieces(self._normal(text))

    def decode(self, ids_BL: Tensor) -> list[str]:
        """Texts of generated ids, up to the end mark."""
        texts = []
        for row in ids_BL.tolist():
            kept = row[: row.index(self.vocabulary.end)] if self.vocabulary.end in row else row
            texts.append(self.vocabulary.text(kept).strip())
        return texts

    def knows(self, text: str) -> bool:
        """Whether every word of a text is in the lexicon; pieces can make words that are none."""
        return not self._lexicon or all(word in self._lexicon for word in words_of(text))

    def ended(self, ids_BL: Tensor) -> list[bool]:
        """Whether each generated text has ended, and not just been cut at the limit."""
        return [self.vocabulary.end in row for row in ids_BL.tolist()]

    def _normal(self, text: str) -> str:
        return normalise_text(text) if self.lowercase else text.strip()


def words_of(text: str) -> list[str]:
    """Words of a text's normal form, without punctuation."""
    return _WORD.findall(normalise_text(text))


def train_lexicon(texts: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Words that stand in several texts, which slips of the pen do not, and those of the names; sorted."""
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return tuple(
        sorted({word for word, count in counts.items() if count > 1} | {w for n in names for w in words_of(n)})
    )


def train_vocabulary(texts: Sequence[str], *, size: int) -> bytes:
    """Sentencepiece unigram vocabulary of the normal forms of `texts`, serialised; the same texts give the same.

    Args:
        texts: What to learn from.
        size: Largest number of pieces; fewer where the texts do not have as many.
    """
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([normalise_text(text) for text in texts]),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        byte_fallback=False,
        pad_id=PAD,
        bos_id=BEGIN,
        eos_id=END,
        unk_id=UNKNOWN,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def vocabulary_size(vocabulary: bytes) -> int:
    """Number of pieces of a serialised vocabulary."""
    return len(_SentencePieces(vocabulary).processor)


class _SentencePieces:
    begin, end = BEGIN, END

    def __init__(self, vocabulary: bytes) -> None:
        import sentencepiece

        self.processor: Any = sentencepiece.SentencePieceProcessor()
        try:
            self.processor.LoadFromSerializedProto(vocabulary)  # the constructor takes empty bytes for no model
        except RuntimeError as error:
            raise CheckpointError(
                f"the decoder's {VOCABULARY_FILE} is no sentencepiece model: {error}.",
                fix="copy or save the decoder again.",
            ) from error

    def pieces(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self.processor.encode(text))

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids; marks have none."""
        return str(self.processor.decode([one for one in ids if one > END]))


class _PretrainedPieces:
    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.end = int(self.tokenizer.eos_token_id)
        begin = self.tokenizer.bos_token_id
        self.begin = self.end if begin is None else int(begin)

    def pieces(self, text: str) -> list[int]:
        """Ids of a text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids; marks have none."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))
