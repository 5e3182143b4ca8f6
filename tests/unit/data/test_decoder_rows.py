import pytest
import torch
import torch.nn.functional as F

from tests.decoders import TEXTS, decoder_config, tiny_vocabulary, units
from vljepa.data.decoder_rows import DecoderBatches, EstimateRows, ImageRows, TextRows, Visit
from vljepa.data.sampling import StepSampler
from vljepa.models.types import Entities
from vljepa.processing.words import DecoderTokenizer

WIDTH, NOISE = 24, 0.2
PAIRS = [TEXTS[start : start + 2] for start in range(0, 12, 2)]
TABLE = dict(zip(TEXTS, units(len(TEXTS), seed=4), strict=True))


def embed(texts):
    return torch.stack([TABLE[text] for text in texts])


class Seen:
    """Stands for the model's guess: notes which texts it was shown, and is the shown text's embedding."""

    def __init__(self):
        self.seen = []
        self.seeds = []

    def __call__(self, texts, seeds):
        self.seen += texts
        self.seeds += seeds
        return embed(texts)


def batches(*, seed=0, sources=None, batch_size=8):
    sources = sources or [
        TextRows(PAIRS, embed, NOISE),
        EstimateRows(PAIRS, Seen()),
        ImageRows(PAIRS, list(units(6 * 3, seed=5).unflatten(0, (6, 3)))),
    ]
    sampler = StepSampler(
        [len(source.texts) for source in sources],
        weights=[1.0] * len(sources),
        names=[str(number) for number in range(len(sources))],
        batch_size=batch_size,
        seed=seed,
    )
    tokenizer = DecoderTokenizer.of(decoder_config(), vocabulary=tiny_vocabulary())
    return DecoderBatches(sources, sampler=sampler, tokenizer=tokenizer, max_tokens=32)


def texts_of(given, step):
    return given.tokenizer.decode(given[step]["ids"])


def equal(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("step", [0, 7, 1000])
def test_a_batch_is_a_pure_function_of_seed_and_step(step):
    before = batches()[step]
    torch.manual_seed(99)
    again = batches()
    again[step + 1]
    assert equal(again[step], before)
    assert not equal(batches(seed=1)[step], before)
    assert not torch.equal(again[step + 3]["embeddings"], before["embeddings"])


def test_a_batch_is_whole_and_of_unit_norm():
    batch = batches()[3]
    assert batch["embeddings"].shape == (8, WIDTH)
    assert torch.allclose(batch["embeddings"].norm(dim=-1), torch.ones(8))
    assert batch["ids"].shape == batch["mask"].shape
    assert len(batch["ids"]) == 8


def test_every_text_of_a_row_is_written_in_the_end_beside_its_own_embedding():
    given = batches(sources=[TextRows(PAIRS, embed, 0.0)], batch_size=4)
    written = set()
    for step in range(30):
        texts = texts_of(given, step)
        assert torch.allclose(given[step]["embeddings"], embed(texts), atol=1e-6)
        written |= set(texts)
    assert written == {text for pair in PAIRS for text in pair}


def visits(rows, count=500):
    """Visits of row 0 as a run makes them, in new epochs."""
    given = batches(sources=[rows], batch_size=1)
    made = [given._visit(given.sampler.batch(step)[0]) for step in range(count)]
    return [visit for visit in made if visit.row == 0]


def test_the_noise_is_drawn_anew_at_each_visit_with_a_bounded_level():
    rows = TextRows([TEXTS[:1]], embed, NOISE)
    made = visits(rows)
    levels = [float(rows._noise(visit, 4000).std()) for visit in made]
    assert max(levels) < NOISE * 1.05
    assert max(levels) > 0.9 * NOISE
    assert min(levels) < 0.1 * NOISE
    assert sum(levels) / len(levels) == pytest.approx(NOISE / 2, rel=0.1)
    assert len({round(level, 6) for level in levels}) > 0.9 * len(levels)


def test_without_noise_an_embedding_is_the_text_s_own():
    rows = TextRows([TEXTS[:1]], embed, 0.0)
    exact = embed(TEXTS[:1])
    assert all(torch.allclose(rows.read([visit])[0], exact, atol=1e-6) for visit in visits(rows, 5))
    noisy = TextRows([TEXTS[:1]], embed, NOISE).read(visits(rows, 5))[0]
    assert (F.cosine_similarity(noisy, exact) < 0.9999).all()


def test_a_guess_never_sees_its_own_text_and_sees_all_others():
    texts = TEXTS[:4]
    guess = Seen()
    rows = EstimateRows([texts], guess)
    made = visits(rows, 200)
    rows.read(made)
    pairs = {(texts[visit.text], seen) for visit, seen in zip(made, guess.seen, strict=True)}
    assert pairs == {(own, other) for own in texts for other in texts if own != other}
    assert len(set(guess.seeds)) == len(made)


def test_a_guess_among_equal_texts_is_told_by_place():
    """A row may have a text twice; the other one may then be shown, but never an index out of the row."""
    guess = Seen()
    rows = EstimateRows([(TEXTS[0], TEXTS[1])], guess)
    rows.read([Visit(0, 0, lambda count, purpose: 0), Visit(0, 1, lambda count, purpose: 0)])
    assert guess.seen == [TEXTS[1], TEXTS[0]]


def test_an_image_is_seen_in_all_its_stored_views():
    views = list(units(6 * 3, seed=5).unflatten(0, (6, 3)))
    rows = ImageRows(PAIRS, views)
    made = visits(rows, 200)
    drawn = rows.read(made)[0]
    hits = (drawn[:, None] == views[0]).all(-1)
    assert (hits.sum(1) == 1).all()
    assert hits.any(0).all()


def test_what_a_resumed_run_must_have_equal():
    order = batches().order()
    assert order == batches().order()
    assert order != batches(seed=1).order()
    assert order != batches(batch_size=9).order()
    assert order != batches(sources=[TextRows(PAIRS, embed, NOISE)]).order()


def test_a_text_is_embedded_once_for_its_embedding_and_its_entities():
    calls, given = [], []

    def counted(texts):
        calls.append(list(texts))
        return embed(texts)

    def name(texts, *, seeds, rows_BD=None):
        given.append(rows_BD)
        return Entities(torch.zeros(len(texts), 1, dtype=torch.long), torch.ones(len(texts), 1))

    rows = TextRows(PAIRS, counted, NOISE, name)
    made = visits(rows, 40)
    rows.read(made)
    [texts], [exact] = calls, given
    assert texts == [PAIRS[visit.row][visit.text] for visit in made]
    assert torch.equal(exact, embed(texts))  # without the noise
