"""`vljepa serve` as a process of its own, asked by the real client of OpenAI, and ended by SIGTERM."""

import base64
import json
import signal
import socket
from pathlib import Path

import numpy as np
import openai
import pytest

import vljepa
from tests.serving_process import serving

pytestmark = pytest.mark.assets
IMAGES = Path(__file__).parents[2] / "examples" / "images"
KEY = "of-the-test"


@pytest.fixture
def server():
    """The process and its port; killed if a test leaves it."""
    with serving("--api-key", KEY) as (process, address):
        yield process, int(address.rpartition(":")[2])


def test_the_openai_client_gets_what_the_model_says_and_sigterm_drains(server):
    process, port = server
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY, max_retries=0)
    vl = vljepa.load("mini")
    cat = (IMAGES / "cat.jpg").read_bytes()

    assert [model.id for model in client.models.list()] == ["mini"]
    answer = client.embeddings.create(model="mini", input=["a tabby cat", "a rocket"])  # the client asks for base64
    rows = np.array([one.embedding for one in answer.data])
    assert rows == pytest.approx(vl.encode(texts=["a tabby cat", "a rocket"]), abs=1e-5)
    items = [{"image": base64.b64encode(cat).decode()}]
    [image] = client.embeddings.create(model="mini", input=items, encoding_format="float").data  # type: ignore
    assert image.embedding == pytest.approx(vl.encode(images=[cat])[0], abs=1e-5)

    content = [
        {"type": "text", "text": "Describe this image."},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(cat).decode()}"}},
    ]
    messages = [{"role": "user", "content": content}]
    said = client.chat.completions.create(model="mini", messages=messages).choices[0].message.content
    assert said == vl.caption(cat)[0].text
    with client.chat.completions.create(model="mini", messages=messages, stream=True) as chunks:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said

    with pytest.raises(openai.BadRequestError, match="none is fetched"):
        client.embeddings.create(model="mini", input=[{"image": "http://127.0.0.1/a.jpg"}])  # type: ignore
    with pytest.raises(openai.AuthenticationError, match="API key"):
        client.with_options(api_key="wrong").models.list()
    client.close()
    _begun_requests_are_answered(process, port)


def _begun_requests_are_answered(process, port):
    """A request whose body comes after SIGTERM gets its answer; a new one is refused; then the process ends with 0."""
    body = json.dumps({"input": "a tabby cat", "dimensions": 4}).encode()
    head = [
        "POST /v1/embeddings HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Authorization: Bearer {KEY}",
        "Expect: 100-continue",
        f"Content-Length: {len(body)}",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as begun, begun.makefile("rb") as answer:
        begun.sendall("\r\n".join([*head, "", ""]).encode())
        assert answer.readline() == b"HTTP/1.1 100 Continue\r\n"  # the application waits for the body
        process.send_signal(signal.SIGTERM)
        while _listens(port):
            pass
        assert process.poll() is None
        begun.sendall(body)
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
        assert len(json.loads(answer.read().rpartition(b"\r\n\r\n")[2])["data"][0]["embedding"]) == 4
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""


def _listens(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            return True
    except ConnectionError:
        return False
