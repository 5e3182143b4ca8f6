"""`vljepa serve` with an index, addresses and a log, as a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

import vljepa

pytestmark = pytest.mark.assets
SERVE = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())", "serve", "--port", "0"]
IMAGES = Path(__file__).parents[2] / "examples" / "images"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    place = tmp_path_factory.mktemp("index") / "my.index"
    vljepa.load("mini").index(IMAGES).save(place)
    return place


def test_search_addresses_and_log(index, tmp_path):
    log = tmp_path / "log.jsonl"
    options = ["--index", str(index), "--allow-urls", "--log", str(log), "--queue", "4", "--timeout", "30"]
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}  # never asked
    with subprocess.Popen([*SERVE, *options], stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            found = re.fullmatch(r"serving mini at (http://127\.0\.0\.1:\d+)\n", process.stderr.readline())
            assert found
            session = requests.Session()
            session.trust_env = False
            [hit] = session.post(f"{found[1]}/search", json={"text": "a rocket", "k": 1}, timeout=60).json()["hits"]
            assert hit["path"] == "rocket.jpg"
            refused = session.post(f"{found[1]}/caption", json={"image": f"{found[1]}/healthz"}, timeout=60)
            assert refused.status_code == 400
            assert "not of the public internet" in refused.json()["error"]["message"]
            counts = session.get(f"{found[1]}/metrics", timeout=60).text
            assert 'vljepa_requests_total{path="/search",status="200"} 1.0' in counts
            assert 'vljepa_batch_items_sum{kind="texts"} 1.0' in counts
            session.close()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(one["path"], one["status"]) for one in lines] == [("/search", 200), ("/caption", 400), ("/metrics", 200)]


def test_a_broken_index_is_refused_before_it_serves(index, tmp_path):
    place = tmp_path / "broken.index"
    place.write_bytes(index.read_bytes()[:100])
    found = subprocess.run([*SERVE, "--index", str(place)], capture_output=True, text=True, env=os.environ.copy())
    assert found.returncode == 2
    assert "is not an index" in found.stderr
