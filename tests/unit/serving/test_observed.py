"""Metrics and the log: what they count, and what they do not tell."""

import io
import json
import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vljepa.cli.serve import opened
from vljepa.errors import ConfigError
from vljepa.serving.batching import Batcher
from vljepa.serving.metrics import Metrics
from vljepa.serving.request_log import JsonHandler

pytestmark = pytest.mark.assets


def samples(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (one.name, *(value for name, value in sorted(one.labels.items()) if name != "le")): one.value
        for family in families
        for one in family.samples
    }


def test_metrics_count_requests_batches_and_deaths(serve, mini, cat, monkeypatch):
    metrics = Metrics()
    client = serve(metrics=metrics, batcher=Batcher(on_batch=metrics.batch, on_death=metrics.death))
    client.post("/v1/embeddings", json={"input": ["a", "b", "c"]})
    client.post("/v1/embeddings", json={"input": 5})
    client.post("/caption", json={"image": cat})
    for path in ("/nothing/4711", "/nothing/4712"):
        client.get(path)
    client.get("/v1/models/mini")
    found = samples(client)
    assert found["vljepa_requests_total", "/v1/embeddings", "200"] == 1
    assert found["vljepa_requests_total", "/v1/embeddings", "400"] == 1
    assert found["vljepa_requests_total", "other", "404"] == 2
    assert found["vljepa_requests_total", "/v1/models/{name:path}", "200"] == 1
    assert found["vljepa_request_seconds_count", "/caption"] == 1
    assert found["vljepa_batch_items_sum", "texts"] == 3
    assert found["vljepa_batch_items_sum", "captions"] == 1
    assert found["vljepa_requests_in_hand",] == 0
    assert found["vljepa_model_restarts_total",] == 0
    assert not any("4711" in str(name) for name in found)

    def dies(given):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(mini.embedder, "texts", dies)
        assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 503
    assert client.post("/v1/embeddings", json={"input": "a"}).status_code == 200
    assert samples(client)["vljepa_model_restarts_total",] == 1


def test_the_log_has_a_line_of_json_per_request_and_no_secrets(serve, cat):
    log = io.StringIO()
    client = serve(log=log, api_key="hidden-key")
    key = {"Authorization": "Bearer hidden-key"}
    answer = client.post("/v1/embeddings?token=hidden", json={"input": "a hidden text"}, headers=key)
    client.get("/hidden/path", headers=key)
    client.post("/caption", json={"image": cat})
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(one["method"], one["path"], one["status"]) for one in lines] == [
        ("POST", "/v1/embeddings", 200),
        ("GET", "other", 404),
        ("POST", "other", 401),  # it never came to a shape
    ]
    assert lines[0]["request"] == answer.headers["X-Request-Id"]
    assert lines[0]["bytes"] == len(answer.content)
    assert all(one["seconds"] > 0 and one["time"] and one["level"] == "info" for one in lines)
    assert "hidden" not in log.getvalue()


def test_a_fault_is_a_line_with_its_traceback():
    log = io.StringIO()
    logger = logging.Logger("a")
    logger.addHandler(JsonHandler(log))
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logger.exception("it failed\nbadly")
    [line] = log.getvalue().splitlines()
    found = json.loads(line)
    assert (found["level"], found["message"]) == ("error", "it failed\nbadly")
    assert "RuntimeError: broken" in found["traceback"]


def test_a_log_is_added_to(tmp_path, capsys):
    place = tmp_path / "log"
    place.write_text("before\n")
    with opened(str(place)) as file:
        print("after", file=file)
    assert place.read_text() == "before\nafter\n"
    with opened(None) as file:
        assert file is None
    with opened("-") as file:
        print("there", file=file)
    assert capsys.readouterr().err == "there\n"
    with pytest.raises(ConfigError, match="--log"), opened(str(tmp_path)):
        pass
