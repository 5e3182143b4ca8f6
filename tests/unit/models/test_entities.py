"""Names that a Y-Decoder reads beside the embedding."""

import pytest
import torch

from tests.decoders import SPACE, decoder_config, overfit, tiny_decoder, tokenizer_of, units
from tests.decoders import TEXTS as CORPUS
from vljepa.checkpoint.decoder import load_decoder, save_decoder
from vljepa.errors import CheckpointError
from vljepa.models.decoder_knowledge import centred
from vljepa.models.types import Entities
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer, train_vocabulary, vocabulary_size

NAMES = ("red", "blue circle", "a big green square")
TEXTS = ("red circle", "blue bar", "big black circle", "green square")


def entity_decoder():
    vocabulary = train_vocabulary(CORPUS, size=80, slots=2)
    config = decoder_config(
        entities={"names": list(NAMES), "count": 2, "max_pieces": 3, "temperature": 0.05},
        architecture={"vocab_size": vocabulary_size(vocabulary)},
    )
    torch.manual_seed(3)
    decoder = YDecoder(config, vocabulary=vocabulary)
    tokenizer = tokenizer_of(decoder)
    decoder.set_names([tokenizer.name(name) for name in NAMES], units(3))
    return decoder.eval()


def told(*rows, strengths=(0.6, 0.3)):
    return Entities(torch.tensor(rows), torch.tensor([strengths] * len(rows)))


@torch.no_grad()
def test_a_text_costs_the_same_alone_and_beside_longer_names():
    decoder = entity_decoder()
    ids, mask = tokenizer_of(decoder).encode(TEXTS, max_tokens=16)
    entities = told([0, 1], [2, 0], [1, 2], [0, 2])
    together = decoder.log_likelihood(units(4), ids, mask, entities)
    for row in range(4):
        alone = decoder.log_likelihood(units(4)[[row]], ids[[row]], mask[[row]], entities.choose([row]))
        assert alone[0] == pytest.approx(float(together[row]), abs=1e-5)
    tokens = mask[:, 1:].sum(1)
    assert decoder(units(4), ids, mask, entities) == pytest.approx(
        -float((together * tokens).sum() / tokens.sum()), abs=1e-5
    )


@torch.no_grad()
def test_generation_reads_names_as_the_loss_does():
    """Greedy words are the likeliest by the loss, token by token; with other names they are not."""
    decoder = entity_decoder()
    entities = told([0, 1], [2, 0])
    ids = decoder.generate(units(2), entities=entities, num_beams=1, max_new_tokens=6)
    begun = torch.cat([torch.full((2, 1), decoder.begin), ids], dim=1)
    mask = torch.ones_like(begun, dtype=torch.bool)
    logits, wanted, _ = decoder._logits(units(2), begun, mask, entities)
    ended = (ids == decoder.end).cumsum(1) > 1
    assert torch.equal(logits.argmax(-1)[~ended], wanted[~ended])
    others, _, _ = decoder._logits(units(2), begun, mask, told([1, 2], [0, 2]))
    assert (others - logits).abs().max() > 1e-3


@torch.no_grad()
def test_what_has_no_strength_is_not_told():
    decoder = entity_decoder()
    ids, mask = tokenizer_of(decoder).encode(TEXTS, max_tokens=16)
    untold = told([0, 1], [2, 0], [1, 2], [0, 2], strengths=(0.0, 0.0))
    none = decoder.log_likelihood(units(4), ids, mask)
    assert torch.allclose(decoder.log_likelihood(units(4), ids, mask, untold), none, atol=1e-5)
    full = decoder.log_likelihood(units(4), ids, mask, told([0, 1], [2, 0], [1, 2], [0, 2]))
    assert (full - none).abs().min() > 1e-4


def test_the_nearest_names_are_told_to_a_model_without_a_classifier():
    decoder = entity_decoder()
    found = decoder.nearest(units(3))
    assert found.numbers_BN[:, 0].tolist() == [0, 1, 2]
    assert (found.strengths_BN[:, 0] > found.strengths_BN[:, 1]).all()
    assert tiny_decoder().nearest(units(3)) is None


def test_a_decoder_learns_to_say_a_name_that_it_is_told():
    """The same embedding, another name: another text."""
    decoder = entity_decoder()
    same = units(1).expand(3, -1)
    overfit(decoder, same, NAMES, entities=told([0, 1], [1, 2], [2, 0]))
    said = tokenizer_of(decoder).decode(decoder.generate(same, entities=told([0, 1], [1, 2], [2, 0])))
    assert said == list(NAMES)
    assert tokenizer_of(decoder).decode(decoder.generate(same, entities=told([2, 0], [0, 1], [1, 2]))) == [
        NAMES[2],
        NAMES[0],
        NAMES[1],
    ]


def test_phrases_are_found_by_nearness_and_travel(tmp_path):
    decoder = tiny_decoder()
    decoder.set_phrases(["red heart", "party popper"], units(2))
    assert decoder.nearest_phrases(units(2).flip(0), count=1) == [["party popper"], ["red heart"]]
    assert decoder.nearest_phrases(units(2), count=5)[0] == ["red heart", "party popper"]
    save_decoder(decoder, tmp_path)
    loaded = load_decoder(tmp_path, text_space=SPACE)
    assert loaded.phrases == ("red heart", "party popper")
    assert torch.equal(loaded.phrases_PD, units(2))
    (tmp_path / "phrases.txt").write_text("red heart\n")
    with pytest.raises(CheckpointError, match="has 1 phrases"):
        load_decoder(tmp_path, text_space=SPACE)


def test_names_and_lexicon_travel(tmp_path):
    decoder = entity_decoder()
    decoder.lexicon = ("blue", "circle")
    save_decoder(decoder, tmp_path)
    loaded = load_decoder(tmp_path, text_space=SPACE)
    assert torch.equal(loaded.names_KM, decoder.names_KM)
    assert torch.equal(loaded.names_KD, units(3))
    tokenizer = DecoderTokenizer.from_folder(tmp_path)
    assert tokenizer.names == NAMES
    assert tokenizer.knows("a blue circle") is False
    assert tokenizer.knows("blue circle") is True
    assert tokenizer.knows("blue <1>") is False
    ids, _ = tokenizer.encode(["a blue circle"], max_tokens=16, entities=told([1, 0]))
    assert tokenizer.decode(ids[:, 1:], told([0, 2])) == ["a red"]  # the slot takes the other name


def test_drawings_are_told_by_the_classes_and_travel(tmp_path):
    decoder = entity_decoder()
    classes = torch.tensor([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3]])
    assert decoder.drawn(classes).tolist() == [False, False]  # nobody has told it how
    logits = classes.log() + 3.0
    torch.testing.assert_close(centred(classes), logits - logits.mean(1, keepdim=True))
    decoder.set_drawings(torch.tensor([-1.0, 0.0, 0.0, 1.0]))
    assert decoder.drawn(classes).tolist() == [False, True]
    save_decoder(decoder, tmp_path)
    loaded = load_decoder(tmp_path, text_space=SPACE)
    assert loaded.drawn(classes).tolist() == [False, True]
    other = entity_decoder()
    other.take(loaded)
    assert other.drawn(classes).tolist() == [False, True]
