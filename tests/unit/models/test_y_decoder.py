"""The Y-Decoder's loss and what it says; saving is in test_decoder_saving.py."""

import pytest
import torch

from tests.decoders import TEXTS, overfit, tiny_decoder, tokenizer_of, units
from vljepa.errors import ConfigError

SAID = ("red circle", "a big green square on a white page", "blue bar", "big black circle")


@pytest.fixture(scope="module")
def taught():
    """A decoder that knows which of SAID belongs to which of four embeddings."""
    return overfit(tiny_decoder(), units(4), SAID)


def encoded(decoder, texts=SAID):
    return tokenizer_of(decoder).encode(texts, max_tokens=32)


def said(decoder, embeddings, **options):
    return tokenizer_of(decoder).decode(decoder.generate(embeddings, **options))


@torch.no_grad()
def test_padding_is_known_by_place_and_not_by_id():
    decoder = tiny_decoder()
    ids, mask = encoded(decoder)
    assert not mask.all()
    loss = decoder(units(4), ids, mask)
    for other in (0, 5, decoder.end):
        assert decoder(units(4), ids.masked_fill(~mask, other), mask) == pytest.approx(float(loss), abs=1e-6)
    longer = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    assert decoder(units(4), *longer) == pytest.approx(float(loss), abs=1e-6)


@torch.no_grad()
def test_the_end_mark_is_trained():
    """The control for padding by place: a mask that takes every end mark for padding gives another loss."""
    decoder = tiny_decoder()
    ids, mask = encoded(decoder)
    by_id = ids != decoder.end
    by_id[:, 0] = True
    assert abs(decoder(units(4), ids, by_id) - decoder(units(4), ids, mask)) > 1e-3
    other = ids.clone()
    other[0, mask[0].sum() - 1] = 5
    assert abs(decoder(units(4), other, mask) - decoder(units(4), ids, mask)) > 1e-3


def test_without_the_end_mark_in_the_loss_a_text_runs_on(taught):
    """Why: the mistake itself, a decoder that is never told where texts end."""
    decoder = tiny_decoder()
    ids, mask = encoded(decoder, [SAID[0]] * 2)
    decoder.train()
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        decoder(units(2), ids, mask & (ids != decoder.end)).backward()
        optimizer.step()
    assert not any(tokenizer_of(decoder).ended(decoder.eval().generate(units(2))))
    assert all(tokenizer_of(taught).ended(taught.generate(units(4))))


@torch.no_grad()
def test_the_loss_is_a_mean_over_tokens_and_not_over_texts():
    decoder = tiny_decoder()
    ids, mask = encoded(decoder)
    counts = mask[:, 1:].sum(1)
    alone = [float(decoder(units(4)[row : row + 1], ids[row : row + 1], mask[row : row + 1])) for row in range(4)]
    whole = sum(loss * int(count) for loss, count in zip(alone, counts, strict=True)) / int(counts.sum())
    assert float(decoder(units(4), ids, mask)) == pytest.approx(whole, rel=1e-5)


def test_texts_end_at_the_end_mark_and_are_padded_with_it(taught):
    ids = taught.generate(units(4))
    assert tuple(said(taught, units(4))) == SAID
    assert ids.shape[1] < taught.config.generation.max_new_tokens
    for row in ids.tolist():
        assert set(row[row.index(taught.end) :]) == {taught.end}


def test_predictions_are_moved_by_the_mean_gap_and_texts_own_embeddings_are_not(taught):
    decoder, embeddings = taught, units(4)
    swap = embeddings.roll(1, dims=0)
    plain, other = said(decoder, embeddings), said(decoder, swap)
    assert plain != other
    try:
        decoder.shift_D.copy_(1e3 * swap[0])  # so far that nothing else counts
        assert said(decoder, embeddings[:1]) == other[:1]
        assert said(decoder, embeddings, shift=False) == plain
    finally:
        decoder.shift_D.zero_()


def test_a_limit_cuts_texts_and_they_count_as_not_ended(taught):
    ids = taught.generate(units(4), max_new_tokens=2)
    assert ids.shape == (4, 2)
    assert not any(tokenizer_of(taught).ended(ids))


def test_the_embedding_decides(taught):
    """PITFALLS 29, and its control: all say the same when the prefix reads nothing."""
    assert said(taught, units(4).flip(0)) == list(SAID)[::-1]
    blind = tiny_decoder()
    blind.load_state_dict(taught.state_dict())
    blind.prefix.weight.data.zero_()
    assert len(set(said(blind, units(4)))) == 1


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("known", [True, False])
def test_a_batch_says_what_each_row_says_alone(taught, num_beams, known):
    decoder = taught if known else tiny_decoder()
    rows = torch.cat([units(4), units(3, seed=9)])
    together = said(decoder, rows, num_beams=num_beams)
    assert together == [said(decoder, row[None], num_beams=num_beams)[0] for row in rows]
    assert len(set(together)) > 1


def test_the_config_chooses_when_the_caller_does_not(taught):
    decoder = tiny_decoder()
    beams = said(decoder, units(8), num_beams=4)
    assert beams != said(decoder, units(8))
    decoder.config.generation.num_beams = 4
    assert said(decoder, units(8)) == beams
    decoder.config.generation.max_new_tokens = 3
    assert decoder.generate(units(2)).shape[1] <= 3


def test_equal_seeds_draw_equal_texts_and_leave_the_callers_random_numbers_alone():
    decoder = tiny_decoder()
    state = torch.get_rng_state()
    draws = [said(decoder, units(6), top_p=0.95, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), state)
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
    assert draws[0] != said(decoder, units(6))


def test_a_vanishing_top_p_is_greedy():
    decoder = tiny_decoder()
    assert said(decoder, units(6), top_p=1e-6) == said(decoder, units(6))


@pytest.mark.filterwarnings("ignore:Passing `repetition_penalty`")
def test_the_repetition_penalty_ends_repetition():
    decoder = tiny_decoder()

    def repeated(**options):
        rows = decoder.generate(units(6), **options).tolist()
        return sum(len(row) - len(set(row)) for row in rows)

    assert repeated() > 0
    assert repeated(repetition_penalty=100.0) < repeated() / 2


@pytest.mark.parametrize(
    "option",
    [
        {"num_beams": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"temperature": 0.0},
        {"repetition_penalty": 0.5},
        {"max_new_tokens": 1},
    ],
)
def test_options_out_of_range_are_refused(option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} = .* out of range"):
        tiny_decoder().generate(units(1), **option)


@pytest.mark.parametrize(
    "option", [{"num_beams": 1}, {"top_p": 1.0}, {"repetition_penalty": 1.0}, {"max_new_tokens": 2}, {"num_beams": 2}]
)
def test_the_ends_of_the_ranges_are_allowed(option):
    assert len(tiny_decoder().generate(units(2), **option)) == 2


def test_a_draw_from_beams_and_a_temperature_of_a_greedy_text_run():
    decoder = tiny_decoder()
    assert len(decoder.generate(units(2), num_beams=2, top_p=0.9)) == 2
    assert said(decoder, units(2), temperature=2.0) == said(decoder, units(2))


def test_no_rows_give_no_texts():
    decoder = tiny_decoder()
    ids = decoder.generate(torch.zeros(0, 24))
    assert len(ids) == 0
    assert ids.dtype == torch.long
    assert tokenizer_of(decoder).decode(ids) == []


def test_the_seed_of_the_part_makes_the_weights():
    first, second = tiny_decoder(), tiny_decoder()
    assert all(torch.equal(second.state_dict()[name], tensor) for name, tensor in first.state_dict().items())
    part = first.config.part.model_copy(update={"seed": 1})
    other = tiny_decoder(part=part.model_dump())
    name = "lm.model.embed_tokens.weight"
    assert not torch.equal(other.state_dict()[name], first.state_dict()[name])


def test_dropout_is_in_the_whole_model_from_scratch_and_off_in_eval():
    decoder = tiny_decoder(dropout=0.5)
    assert decoder.lm.config.attention_dropout == 0.5
    ids, mask = encoded(decoder, TEXTS[:4])
    assert torch.equal(decoder(units(4), ids, mask), decoder(units(4), ids, mask))
    decoder.train()
    assert not torch.equal(decoder(units(4), ids, mask), decoder(units(4), ids, mask))


@torch.no_grad()
def test_a_loss_under_autocast_is_computed_in_fp32():
    decoder = tiny_decoder()
    ids, mask = encoded(decoder)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = decoder(units(4), ids, mask)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(decoder(units(4), ids, mask)), rel=0.05)
