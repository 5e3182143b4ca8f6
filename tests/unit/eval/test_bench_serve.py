"""The bench of the server: what its clients count, on a server that answers at once."""

import base64
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from eval.bench.load import WRONG, Answers, Load, closed_loop, open_loop
from eval.bench.serve import ratios, together

ROWS = np.eye(3, dtype=np.float32)
LOAD = Load("texts", [json.dumps({"input": [str(number)]}).encode() for number in range(3)], ROWS)


@pytest.fixture
def server():
    """Answers the first input with its row, the second with another one, and refuses the third in two ways."""
    refused = iter([{"Retry-After": "1"}, {}] * 10_000)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            number = int(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"][0])
            status, headers = (429, next(refused)) if number == 2 else (200, {})
            row = base64.b64encode(ROWS[0].tobytes()).decode()
            content = json.dumps({"data": [{"embedding": row}]}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *given):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_port
        made.shutdown()


def test_wrong_answers_and_refusals_are_told_from_right_answers(server):
    answers = open_loop(server, LOAD, rate=1000, seconds=0.3, clients=4)
    assert answers.statuses == {200: 100, WRONG: 100, 429: 100}
    assert len(answers.delays) == len(answers.done) == 100
    assert answers.unasked == 50
    figures = answers.figures()
    assert figures["answered"] == 100
    assert figures["per_second"] == pytest.approx(100 / answers.seconds, abs=0.01)
    assert figures["statuses"] == {"200": 100, "429": 100, str(WRONG): 100}


def test_what_waits_for_a_free_client_is_late_from_when_it_was_due(server):
    """All are due at once, and one client asks them one after the other."""
    answers = open_loop(server, LOAD, rate=1e9, seconds=3e-7, clients=1)
    assert answers.delays == sorted(answers.delays)
    assert answers.delays[-1] == pytest.approx(answers.done[-1], abs=1e-3)


def test_clients_ask_until_the_time_is_over(server):
    answers = closed_loop(server, LOAD, clients=3, seconds=0.2)
    assert answers.seconds >= 0.2
    assert answers.statuses.total() > 9


def test_a_broken_connection_is_counted():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as made:
        port = made.server_port
    assert closed_loop(port, LOAD, clients=1, seconds=0.05).statuses.keys() == {0}


def test_runs_are_added_up_and_compared():
    one = Answers(seconds=2.0, delays=[0.1, 0.2], statuses=Counter({200: 2}))
    two = Answers(seconds=2.0, delays=[0.3] * 6, statuses=Counter({200: 6, 429: 1}))
    whole = together([one, two]).figures()
    assert (whole["per_second"], whole["answered"], whole["p50_ms"]) == (2.0, 8, 300.0)
    assert whole["statuses"] == {"200": 8, "429": 1}
    rates = {"batched": 6.0, "single": 2.0, "plain": 0.0}
    assert ratios({kind: {"8": {"per_second": rate}} for kind, rate in rates.items()}) == {
        "to_single": {"8": 3.0},
        "to_plain": {},
    }
