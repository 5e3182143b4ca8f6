"""How many requests are let in, how long they may take, and what is said to the others."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from vljepa.serving.admission import Admit

CAT = base64.b64encode(b"an image").decode()
REQUESTS = {
    "/v1/embeddings": {"json": {"input": "a"}},
    "/v1/chat/completions": {"json": {"messages": [{"role": "user", "content": "a"}]}},
    "/embeddings": {"json": {"content": ["a"]}},
    "/api/embed": {"json": {"input": "a"}},
    "/predict": {"data": {"entries": '{"clip":{"textual":{}}}', "text": "a"}},
    "/search": {"json": {"text": "a"}},
}


class Held:
    """A server whose model waits until it is released."""

    def __init__(self, serve, mini, monkeypatch, **options):
        self.entered, self.release = threading.Semaphore(0), threading.Event()
        plain = mini.embedder.texts

        def texts(given):
            self.entered.release()
            assert self.release.wait(60)
            return plain(given)

        monkeypatch.setattr(mini.embedder, "texts", texts)
        self.client = serve(**options)
        self.pool = ThreadPoolExecutor(8)

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *failure):
        self.release.set()
        self.pool.shutdown()
        self.client.__exit__(*failure)

    def post(self, path="/v1/embeddings"):
        return self.pool.submit(self.client.post, path, **REQUESTS[path])


@pytest.mark.assets
def test_above_the_queue_each_shape_is_told_to_come_again(serve, mini, monkeypatch):
    with Held(serve, mini, monkeypatch, queue=2) as held:
        first = held.post()
        assert held.entered.acquire(timeout=60)
        second = held.post("/api/embed")
        while held.client.get("/metrics").text.find("vljepa_requests_in_hand 2.0") < 0:
            pass
        for path in REQUESTS:
            refused = held.client.post(path, **REQUESTS[path])
            assert refused.status_code == 429
            assert 1 <= int(refused.headers["Retry-After"]) <= 30
            error = refused.json()["error"]
            assert isinstance(error, str) if path.startswith("/api/") else error["type"] == "rate_limit_error"
        assert held.client.get("/healthz").status_code == held.client.get("/v1/models").status_code == 200
        held.release.set()
        assert first.result().status_code == second.result().status_code == 200
        assert held.client.post("/v1/embeddings", json={"input": "a"}).status_code == 200


@pytest.mark.assets
@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/api/embed", "/predict"])
def test_what_takes_too_long_gets_a_504_in_its_shape(serve, mini, monkeypatch, path):
    with Held(serve, mini, monkeypatch, timeout=2.0) as held:
        answer = held.post(path).result()
        assert answer.status_code == 504
        error = answer.json()["error"]
        text = error if path.startswith("/api/") else error["message"]
        assert "longer than a request may" in text
        assert path.startswith("/api/") or error["type"] == "timeout_error"
        while held.client.get("/readyz").status_code == 200:  # the model is at one batch for longer than that
            pass
        assert held.client.get("/healthz").status_code == 200
        held.release.set()
        while held.client.get("/readyz").status_code != 200:
            pass


@pytest.mark.assets
def test_a_model_that_is_gone_is_a_503_and_not_ready(serve, mini, monkeypatch):
    def dies(given):
        raise SystemExit

    monkeypatch.setattr(mini.embedder, "texts", dies)
    client = serve()
    for _ in range(6):
        answer = client.post("/v1/embeddings", json={"input": "a"})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["error"]["type"] == "server_error"
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def admit(app, **options):
    """An `Admit` with room for all, unless said otherwise."""
    return Admit(app, **{"most": 100, "most_bytes": 1000, "largest": 400, "patience": 60.0, **options})


def scope(size=None):
    headers = [] if size is None else [(b"content-length", str(size).encode())]
    return {"type": "http", "method": "POST", "path": "/x", "headers": headers}


class Answers:
    """An ASGI application that waits for `go`, and the statuses that clients got."""

    def __init__(self):
        self.statuses, self.go = [], anyio.Event()

    async def app(self, scope, receive, send):
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])


def test_bodies_are_bounded_together_and_one_of_unknown_size_counts_as_the_largest():
    async def run():
        answers = Answers()
        gate = admit(answers.app)
        async with anyio.create_task_group() as group:
            for size in (None, 400):
                group.start_soon(gate, scope(size), None, answers.send)
            await anyio.wait_all_tasks_blocked()
            await gate(scope(201), None, answers.send)
            assert answers.statuses == [429]
            group.start_soon(gate, scope(200), None, answers.send)
            await anyio.wait_all_tasks_blocked()
            assert answers.statuses == [429]
            answers.go.set()
        assert answers.statuses == [429, 200, 200, 200]
        await gate(scope(900), None, answers.send)  # room again
        await gate(scope(2000), None, answers.send)  # alone it is the body's own limit that counts
        assert answers.statuses[-2:] == [200, 200]

    anyio.run(run)


def test_a_body_that_does_not_come_is_given_up():
    async def run():
        seen = []

        async def app(scope, receive, send):
            try:
                await receive()
            except Exception as error:
                seen.append(error)

        await admit(app, patience=0.01)(scope(), anyio.sleep_forever, None)
        [error] = seen
        assert error.status_code == 408

    anyio.run(run)


def test_after_the_body_nobody_is_hurried():
    """An answer that streams waits for its client to go."""

    async def run():
        messages = iter([{"type": "http.request", "body": b"a", "more_body": False}])

        async def receive():
            for message in messages:
                return message
            await gone.wait()
            return {"type": "http.disconnect"}

        async def app(scope, receive, send):
            await receive()
            with anyio.move_on_after(0.05) as late:
                await receive()
            seen.append(late.cancelled_caught)
            gone.set()
            seen.append((await receive())["type"])

        seen, gone = [], anyio.Event()
        await admit(app, patience=0.02)(scope(), receive, None)
        assert seen == [True, "http.disconnect"]

    anyio.run(run)
