"""`vljepa serve` with an index, addresses and a log, as a process of its own."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import requests

import vljepa
from tests.serving_process import SERVE, serving

pytestmark = pytest.mark.assets
IMAGES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    place = tmp_path_factory.mktemp("index") / "my.index"
    vljepa.load("mini").index(IMAGES).save(place)
    return place


def test_search_addresses_and_log(index, tmp_path):
    log = tmp_path / "log.jsonl"
    options = ["--index", str(index), "--allow-urls", "--log", str(log), "--queue", "4", "--timeout", "30"]
    never_asked = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    with serving(*options, environment=never_asked) as (process, address):
        session = requests.Session()
        session.trust_env = False
        [hit] = session.post(f"{address}/search", json={"text": "a rocket", "k": 1}, timeout=60).json()["hits"]
        assert hit["path"] == "rocket.jpg"
        refused = session.post(f"{address}/caption", json={"image": f"{address}/healthz"}, timeout=60)
        assert refused.status_code == 400
        assert "not of the public internet" in refused.json()["error"]["message"]
        counts = session.get(f"{address}/metrics", timeout=60).text
        assert 'vljepa_requests_total{path="/search",status="200"} 1.0' in counts
        assert 'vljepa_batch_items_sum{kind="texts"} 1.0' in counts
        session.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == ""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["path"], one["status"]) for one in lines] == [("/search", 200), ("/caption", 400), ("/metrics", 200)]


def test_a_broken_index_is_refused_before_it_serves(index, tmp_path):
    place = tmp_path / "broken.index"
    shutil.copytree(index, place)
    [shard] = (place / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:100])
    found = subprocess.run([*SERVE, "--index", str(place)], capture_output=True, text=True, env=os.environ.copy())
    assert found.returncode == 2
    assert "is not a sound part of an index" in found.stderr
