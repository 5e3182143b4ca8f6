import json

import pytest
import torch

from tests.decoders import TEXTS, decoder_config, tiny_decoder, tiny_vocabulary, write_language_model
from vljepa.checkpoint.decoder import save_decoder
from vljepa.configs import YDecoderConfig
from vljepa.errors import CheckpointError, PartError
from vljepa.processing.words import DecoderTokenizer, train_vocabulary, vocabulary_size


@pytest.fixture
def pieces():
    """Tokenizer of a decoder from scratch."""
    return DecoderTokenizer.of(decoder_config(), vocabulary=tiny_vocabulary())


@pytest.fixture
def words(tmp_path):
    """Tokenizer of a pretrained decoder."""
    config = {"part": f"transformers:{write_language_model(tmp_path / 'part')}", "embed_dim": 24}
    return DecoderTokenizer.of(YDecoderConfig.model_validate(config), vocabulary=None)


@pytest.mark.parametrize("kind", ["pieces", "words"])
def test_texts_come_back(kind, request):
    tokenizer = request.getfixturevalue(kind)
    ids, mask = tokenizer.encode(TEXTS, max_tokens=64)
    assert ids.shape == mask.shape
    assert mask.dtype == torch.bool
    assert tokenizer.decode(ids) == list(TEXTS)
    assert all(tokenizer.ended(ids))
    assert (ids[:, 0] == tokenizer.vocabulary.begin).all()


@pytest.mark.parametrize("kind", ["pieces", "words"])
def test_the_mask_covers_begin_to_end_mark_and_nothing_else(kind, request):
    tokenizer = request.getfixturevalue(kind)
    ids, mask = tokenizer.encode(["red bar", "a big red bar on a white page"], max_tokens=64)
    length = int(mask[0].sum())
    assert mask[0].tolist() == [True] * length + [False] * (ids.shape[1] - length)
    assert mask[1].all()
    assert ids[0, length - 1] == tokenizer.vocabulary.end
    assert tokenizer.vocabulary.end not in ids[0, 1 : length - 1].tolist()


@pytest.mark.parametrize("kind", ["pieces", "words"])
def test_long_texts_are_cut_and_still_end(kind, request):
    tokenizer = request.getfixturevalue(kind)
    ids, mask = tokenizer.encode([TEXTS[-1]], max_tokens=4)
    assert ids.shape == (1, 5)  # the begin mark, and then as many as `generate` may say
    assert mask.all()
    assert ids[0, -1] == tokenizer.vocabulary.end
    assert TEXTS[-1].startswith(tokenizer.decode(ids)[0])


def test_texts_are_brought_into_their_normal_form_unless_case_is_kept(pieces):
    assert pieces.decode(pieces.encode(["  A Red  Circle. "], max_tokens=64)[0]) == ["a red circle"]
    kept = DecoderTokenizer.of(
        decoder_config(lowercase=False), vocabulary=train_vocabulary(["Red circle", "red square"], size=64)
    )
    assert kept.decode(kept.encode([" red circle "], max_tokens=64)[0]) == ["red circle"]
    upper = kept.encode(["RED"], max_tokens=64)[0].tolist()
    assert upper != kept.encode(["red"], max_tokens=64)[0].tolist()
    assert pieces.encode(["RED"], max_tokens=64)[0].tolist() == pieces.encode(["red"], max_tokens=64)[0].tolist()


def test_decoding_stops_at_the_end_mark(pieces):
    ids, _ = pieces.encode(["red bar"], max_tokens=64)
    rest = pieces.encode(["blue"], max_tokens=64)[0]
    assert pieces.decode(torch.cat([ids, rest], dim=1)) == ["red bar"]
    assert pieces.decode(torch.cat([ids[:, :-1], rest[:, 1:]], dim=1)) != ["red bar"]
    assert pieces.ended(ids) == [True]
    assert pieces.ended(ids[:, :-1]) == [False]
    assert pieces.decode(ids[:, :-1]) == ["red bar"]


def test_nothing_but_marks_is_no_text(pieces):
    assert pieces.decode(torch.tensor([[2, 2], [1, 2], [0, 2]])) == ["", "", ""]
    assert pieces.decode(torch.zeros(0, 0, dtype=torch.long)) == []
    assert pieces.decode(pieces.encode([""], max_tokens=8)[0]) == [""]


def test_letters_that_were_never_seen_do_no_harm(pieces):
    ids, _ = pieces.encode(["red \U0001f99c bar"], max_tokens=64)
    assert int(ids.max()) < vocabulary_size(tiny_vocabulary())
    assert "red" in pieces.decode(ids)[0]


def test_equal_texts_give_equal_vocabularies():
    assert train_vocabulary(TEXTS, size=80) == tiny_vocabulary()
    assert train_vocabulary([text.upper() + "." for text in TEXTS], size=80) == tiny_vocabulary()
    assert train_vocabulary(TEXTS[:12], size=80) != tiny_vocabulary()


def test_the_size_is_a_limit_and_not_a_demand():
    assert vocabulary_size(train_vocabulary(TEXTS, size=5000)) < 100
    assert vocabulary_size(train_vocabulary(TEXTS, size=28)) == 28


def test_a_saved_folder_gives_its_tokenizer(pieces, tmp_path):
    save_decoder(tiny_decoder(), tmp_path)
    loaded = DecoderTokenizer.from_folder(tmp_path)
    assert torch.equal(loaded.encode(TEXTS, max_tokens=9)[0], pieces.encode(TEXTS, max_tokens=9)[0])


def test_a_folder_without_a_whole_vocabulary_is_told(tmp_path):
    save_decoder(tiny_decoder(), tmp_path)
    for broken in (b"not a vocabulary", b"", tiny_vocabulary()[:-1]):
        (tmp_path / "tokenizer.model").write_bytes(broken)
        with pytest.raises(CheckpointError, match="no sentencepiece model"):
            DecoderTokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.model").unlink()
    with pytest.raises(CheckpointError, match=r"lacks tokenizer\.model"):
        DecoderTokenizer.from_folder(tmp_path)
    with pytest.raises(CheckpointError, match="holds no Y-Decoder"):
        DecoderTokenizer.from_folder(tmp_path / "absent")


def test_a_pretrained_decoder_whose_part_is_gone_is_told(tmp_path):
    config = YDecoderConfig.model_validate({"part": f"transformers:{tmp_path / 'absent'}", "embed_dim": 24})
    with pytest.raises(PartError):
        DecoderTokenizer.of(config, vocabulary=None)


def test_a_pretrained_tokenizer_without_a_begin_mark_begins_with_its_end_mark(tmp_path):
    folder = write_language_model(tmp_path / "part")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in settings.items() if key != "bos_token"}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    config = YDecoderConfig.model_validate({"part": f"transformers:{folder}", "embed_dim": 24})
    tokenizer = DecoderTokenizer.of(config, vocabulary=None)
    assert tokenizer.vocabulary.begin == tokenizer.vocabulary.end == 2
