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
from vljepa.models.types import Entities
from vljepa.parts.saved import LEXICON_FILE, TOKENIZER_FOLDER, VOCABULARY_FILE, read_decoder_config, read_lines
from vljepa.processing.slots import cut, fill, slot
from vljepa.processing.taxonomy import Taxonomy
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
        names: What entities are numbers of: texts have slots for those that are told.
    """

    def __init__(
        self, vocabulary: Vocabulary, *, lowercase: bool, lexicon: Sequence[str] = (), names: Sequence[str] = ()
    ) -> None:
        self.vocabulary = vocabulary
        self.lowercase = lowercase
        self._lexicon = frozenset(lexicon)
        self.names = tuple(names)

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
        lexicon = read_lines(Path(folder) / LEXICON_FILE)
        if config.part.source == "random":
            return cls.of(config, vocabulary=file.read_bytes(), lexicon=lexicon)
        own = Path(folder) / TOKENIZER_FOLDER
        pieces = _PretrainedPieces(own if own.is_dir() else part_folder(config.part))
        return cls(pieces, lowercase=config.lowercase, lexicon=lexicon, names=_names(config))

    @classmethod
    def of(cls, config: YDecoderConfig, *, vocabulary: bytes | None, lexicon: Sequence[str] = ()) -> DecoderTokenizer:
        """Tokenizer of a config; a decoder from scratch needs its serialised vocabulary."""
        names = _names(config)
        if vocabulary is not None:
            return cls(_SentencePieces(vocabulary), lowercase=config.lowercase, lexicon=lexicon, names=names)
        return cls(
            _PretrainedPieces(part_folder(config.part)), lowercase=config.lowercase, lexicon=lexicon, names=names
        )

    def encode(
        self, texts: Sequence[str], *, max_tokens: int, entities: Entities | None = None
    ) -> tuple[Tensor, Tensor]:
        """Ids and mask [B, L] from begin to end mark, right-padded; longer texts are cut and still end.

        Args:
            texts: The texts.
            max_tokens: Limit of a text, the end mark included.
            entities: Those that are told beside each text: it gets slots for their names.
        """
        marks = self.vocabulary
        normal = [self._normal(text) for text in texts]
        if entities is not None:
            normal = [cut(text, names) for text, names in zip(normal, self._told(entities), strict=True)]
        rows = [[marks.begin, *marks.pieces(text)[: max_tokens - 1], marks.end] for text in normal]
        length = max(len(row) for row in rows)
        ids_BL = torch.tensor([row + [marks.end] * (length - len(row)) for row in rows])
        lengths_B = torch.tensor([len(row) for row in rows])
        return ids_BL, torch.arange(length) < lengths_B[:, None]

    def name(self, text: str) -> list[int]:
        """Ids of a name, without begin and end mark."""
        return self.vocabulary.pieces(self._normal(text))

    def decode(self, ids_BL: Tensor, entities: Entities | None = None) -> list[str]:
        """Texts of generated ids, up to the end mark, with the names of entities in their slots."""
        texts: list[str] = []
        for row in ids_BL.tolist():
            kept = row[: row.index(self.vocabulary.end)] if self.vocabulary.end in row else row
            texts.append(self.vocabulary.text(kept).strip())
        if entities is None:
            return texts
        each = max(1, len(texts) // max(1, len(entities.numbers_BN)))
        told = self._told(entities)
        return [fill(text, told[place // each]) for place, text in enumerate(texts)]

    def _told(self, entities: Entities) -> list[list[str]]:
        """Names of each row's entities; of one that is not told, none."""
        pairs = zip(entities.numbers_BN.tolist(), (entities.strengths_BN > 0).tolist(), strict=True)
        return [[self.names[number] for number, is_told in zip(*row, strict=True) if is_told] for row in pairs]

    def knows(self, text: str) -> bool:
        """Whether every word of a text is in the lexicon, and no slot is left; pieces can make words that are none."""
        return "<" not in text and (not self._lexicon or all(word in self._lexicon for word in words_of(text)))

    def ended(self, ids_BL: Tensor) -> list[bool]:
        """Whether each generated text has ended, and not just been cut at the limit."""
        return [self.vocabulary.end in row for row in ids_BL.tolist()]

    def _normal(self, text: str) -> str:
        return normalise_text(text) if self.lowercase else text.strip()


def _names(config: YDecoderConfig) -> tuple[str, ...]:
    return () if config.entities is None else Taxonomy.of(config.entities.names).names()


def words_of(text: str) -> list[str]:
    """Words of a text's normal form, without punctuation."""
    return _WORD.findall(normalise_text(text))


def train_lexicon(texts: Sequence[str], names: Sequence[str], *, least: int = 2) -> tuple[str, ...]:
    """Words that stand in at least so many texts, which slips of the pen do not, and those of the names; sorted."""
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return tuple(
        sorted({word for word, count in counts.items() if count >= least} | {w for n in names for w in words_of(n)})
    )


def train_vocabulary(texts: Sequence[str], *, size: int, slots: int = 0) -> bytes:
    """Sentencepiece unigram vocabulary of the normal forms of `texts`, serialised; the same texts give the same.

    Args:
        texts: What to learn from.
        size: Largest number of pieces; fewer where the texts do not have as many.
        slots: Names that texts have slots for; each slot is one piece.
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
        user_defined_symbols=[slot(place) for place in range(slots)],
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
