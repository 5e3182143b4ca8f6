from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa.data.sampling import StepSampler

SOURCES = st.lists(st.tuples(st.integers(1, 40), st.floats(0.5, 4.0)), min_size=1, max_size=4)


def build(sources, batch_size, seed):
    sizes, weights = [size for size, _ in sources], [weight for _, weight in sources]
    names = [f"source {number}" for number in range(len(sources))]
    return StepSampler(sizes, weights=weights, names=names, batch_size=batch_size, seed=seed)


@settings(max_examples=60, deadline=None)
@given(SOURCES, st.integers(40, 64), st.integers(0, 2**31))
def test_every_record_exactly_once_per_epoch(sources, batch_size, seed):
    sampler = build(sources, batch_size, seed)
    draws = [draw for step in range(12) for draw in sampler.batch(step)]
    for number, (size, _) in enumerate(sources):
        mine = [draw for draw in draws if draw.source == number]
        assert [draw.epoch for draw in mine] == [place // size for place in range(len(mine))]
        whole = [draw for draw in mine if draw.epoch < len(mine) // size]
        counts = Counter((draw.epoch, draw.row) for draw in whole)
        assert set(counts.values()) <= {1}
        assert len(counts) == len(mine) // size * size


@settings(max_examples=60, deadline=None)
@given(SOURCES, st.integers(40, 64), st.integers(0, 2**31), st.integers(0, 10**6))
def test_a_batch_depends_on_seed_and_step_alone(sources, batch_size, seed, step):
    used, fresh = build(sources, batch_size, seed), build(sources, batch_size, seed)
    for earlier in (0, 1, max(0, step - 1)):
        used.batch(earlier)
    assert used.batch(step) == fresh.batch(step)


@settings(max_examples=60, deadline=None)
@given(SOURCES, st.integers(40, 64))
def test_quotas_fill_the_batch_and_follow_the_weights(sources, batch_size):
    sampler = build(sources, batch_size, 0)
    assert sum(sampler.quotas) == batch_size == len(sampler.batch(0))
    total = sum(weight for _, weight in sources)
    for quota, (_, weight) in zip(sampler.quotas, sources, strict=True):
        assert abs(quota - batch_size * weight / total) < 1
