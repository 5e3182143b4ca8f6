import tracemalloc

import pytest

from vljepa.data.sampling import Draw, StepSampler, choose
from vljepa.errors import ConfigError


def test_quotas_by_largest_remainder():
    sampler = StepSampler([5, 5, 5], weights=[1, 1, 1], names=list("abc"), batch_size=8, seed=0)
    assert sampler.quotas == (3, 3, 2)


def test_a_source_without_a_sample_is_named():
    with pytest.raises(ConfigError, match="'rare' gets no sample in a batch of 10"):
        StepSampler([5, 5], weights=[100, 1], names=["big", "rare"], batch_size=10, seed=0)
    with pytest.raises(ConfigError, match="'empty' has no readable rows"):
        StepSampler([5, 0], weights=[1, 1], names=["big", "empty"], batch_size=10, seed=0)


def test_orders_differ_by_seed_source_and_epoch():
    def order(seed, source, epoch):
        sampler = StepSampler([40, 40], weights=[1, 1], names=list("ab"), batch_size=80, seed=seed)
        return [draw.row for draw in sampler.batch(epoch) if draw.source == source]

    assert len({tuple(order(*key)) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1))}) == 4


def test_choices_are_pure_even_and_independent():
    draws = [Draw(0, row, epoch) for row in range(100) for epoch in range(10)]
    views = [choose(4, seed=1, draw=draw, purpose="view") for draw in draws]
    texts = [choose(4, seed=1, draw=draw, purpose="text") for draw in draws]
    assert views == [choose(4, seed=1, draw=draw, purpose="view") for draw in draws]
    assert all(200 < views.count(value) < 300 for value in range(4))
    assert 200 < sum(view == text for view, text in zip(views, texts, strict=True)) < 300


def test_of_an_order_only_the_epoch_at_hand_is_kept():
    rows, sources = 100_000, 3
    sampler = StepSampler([rows] * sources, weights=[1] * sources, names=list("abc"), batch_size=3, seed=0)
    order = [sampler.batch(epoch * rows)[0].row for epoch in range(3)]
    tracemalloc.start()
    for epoch in range(3, 20):
        sampler.batch(epoch * rows)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1.5 * sources * rows * 8
    assert [sampler.batch(epoch * rows)[0].row for epoch in range(3)] == order, "any epoch can be had again"
