import numpy as np
import pytest

from vljepa.errors import DataError
from vljepa.inference.bank import Bank
from vljepa.inference.embed import Embedder

CAT = ["a cat on a bed", "a cat lies on a bed", "the cat on the bed", "a cat on a red bed"]
ODD = ["some animal", "photograph", "fur"]


def unit(*values):
    row = np.array(values, dtype=np.float32)
    return row / np.linalg.norm(row)


@pytest.fixture
def bank():
    """Seven texts near the first axis, of which four say nearly the same, and one far from it."""
    rows = [unit(1, 0.1 + 0.02 * place, 0) for place in range(4)] + [unit(1, -0.01 * place, 0) for place in range(3)]
    return Bank([*CAT, *ODD, "a dog runs"], np.stack([*rows, unit(0, 0, 1)]))


def test_the_nearest_text_is_said_for_each_embedding(bank):
    rows = np.stack([unit(0, 0.1, 1), unit(1, 0, 0), unit(1, 0.16, 0)])
    assert bank.nearest(rows) == ["a dog runs", ODD[0], CAT[3]]


def test_the_consensus_is_what_most_near_texts_say_though_another_is_nearer(bank):
    assert bank.consensus(unit(1, 0, 0)[None], k=7)[0] in CAT
    assert bank.nearest(unit(1, 0, 0)[None]) == [ODD[0]]
    assert bank.consensus(unit(1, 0, 0)[None], k=1) == [ODD[0]]  # the control: alone it agrees with itself


def test_only_the_nearest_texts_vote(bank):
    assert bank.consensus(unit(0, 0, 1)[None], k=1) == ["a dog runs"]
    assert bank.consensus(unit(1, -0.02, 0)[None], k=3)[0] in ODD


def test_more_votes_than_texts_are_all_of_them(bank):
    rows = np.stack([unit(1, 0, 0), unit(0, 0, 1)])
    assert bank.consensus(rows) == bank.consensus(rows, k=8)
    assert len(bank.consensus(rows)) == 2


def test_a_batch_says_what_each_row_says_alone(bank):
    rows = np.stack([unit(1, 0.1, 0), unit(1, -0.1, 0.2), unit(0, 0, 1)])
    for say in (bank.nearest, lambda some: bank.consensus(some, k=4)):
        assert say(rows) == [say(row[None])[0] for row in rows]


def test_texts_without_words_do_no_harm():
    bank = Bank(["...", "!", "?"], np.eye(3, dtype=np.float32))
    assert bank.consensus(np.eye(3, dtype=np.float32)[:1]) == ["..."]


def test_no_texts_are_told():
    with pytest.raises(DataError, match="no texts"):
        Bank([], np.zeros((0, 3), dtype=np.float32))


def test_repeated_texts_are_kept_once(model, processor):
    bank = Bank.build(Embedder(model, processor), ["red", "blue", "red"])
    assert bank.texts == ["red", "blue"]
    assert bank.rows.shape == (2, 3)
    assert bank.nearest(unit(0.9, 0, 0.1)[None]) == ["red"]


def test_no_rows_give_no_texts(bank):
    assert bank.nearest(np.zeros((0, 3), dtype=np.float32)) == []
    assert bank.consensus(np.zeros((0, 3), dtype=np.float32)) == []
