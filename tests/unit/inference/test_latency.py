import pytest

from vljepa.inference.latency import STAGES, Delay, Latency


def delay(total):
    return Delay(wait=0.1 * total, encode=0.2 * total, predict=0.1 * total, decide=0.5 * total, decode=0.1 * total)


def test_quantiles_and_shares():
    latency = Latency()
    for number in range(1, 101):
        latency.add(delay(number / 100))

    assert latency.quantile(0.5) == pytest.approx(0.505)
    assert latency.quantile(0.99) == pytest.approx(0.9901)
    assert latency.mean() == pytest.approx(0.505)
    assert latency.shares() == pytest.approx({"wait": 0.1, "encode": 0.2, "predict": 0.1, "decide": 0.5, "decode": 0.1})
    assert tuple(latency.shares()) == STAGES
    assert latency.summary()["captions"] == 100


def test_before_the_first_caption_there_is_nothing():
    latency = Latency()

    assert latency.quantile(0.5) is None
    assert latency.mean() == 0
    assert latency.shares() == {}
    assert latency.summary() == {"captions": 0, "p50": None, "p99": None, "shares": {}}


def test_only_the_newest_are_kept():
    latency = Latency(limit=10)
    for number in range(10_000):
        latency.add(delay(1.0 if number < 9_990 else 2.0))

    assert len(latency) == 10
    assert latency.mean() == pytest.approx(2.0)
