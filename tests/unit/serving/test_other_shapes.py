"""llama.cpp's shape as Frigate asks, Ollama's, immich's, and our own."""

import json

import numpy as np
import pytest

from tests.unit.serving.conftest import IMAGES, close
from vljepa.processing.image import open_image

pytestmark = pytest.mark.assets
JSON = {"Content-Type": "application/json"}


def test_frigate_finds_the_model_and_that_it_sees(client):
    props = client.get("/props").json()
    assert props["modalities"]["vision"] is True
    assert props["default_generation_settings"]["n_ctx"] == 4096
    assert props["media_marker"] == "<__media__>"


def test_frigate_s_embeddings(client, expected, cat):
    """Byte for byte as `requests` sends what Frigate's llama.cpp provider builds."""
    body = (
        '{"model": "mini", "content": [{"prompt_string": "a rocket"}, '
        '{"prompt_string": "<__media__>\\n", "multimodal_data": ["' + cat + '"]}]}'
    )
    answer = client.post("/embeddings", content=body.encode(), headers=JSON)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [one["index"] for one in data] == [0, 1]
    assert close([one["embedding"] for one in data], np.stack([expected("a rocket"), expected("cat.jpg")]))


@pytest.mark.parametrize(
    "content",
    [
        [{"prompt": "a"}],
        [{"prompt_string": "<__media__>", "multimodal_data": ["https://example.org/a.jpg"]}],
        [{"prompt_string": "<__media__>", "multimodal_data": "abc"}],
        [{"prompt_string": "<__media__><__media__>", "multimodal_data": ["aaaa", "aaaa"]}],
        [],
    ],
)
def test_llama_cpp_s_bad_requests(client, content):
    answer = client.post("/embeddings", json={"content": content})
    assert answer.status_code == 400
    assert "Fix: " in answer.json()["error"]["message"]


def test_ollama_s_captions_as_photoprism_asks(client, mini, cat):
    body = {"model": "mini:latest", "prompt": "Create a caption with one sentence.", "images": [cat], "stream": False}
    answer = client.post("/api/generate", json=body).json()
    assert answer["response"] == mini.caption(IMAGES / "cat.jpg")[0].text
    assert (answer["model"], answer["done"]) == ("mini:latest", True)


def test_ollama_streams_lines_unless_told_not_to(client, cat):
    answer = client.post("/api/generate", json={"model": "mini", "prompt": "what colour is it?", "images": [cat]})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["done"] for line in lines] == [False, True]
    body = {"model": "mini", "prompt": "what colour is it?", "images": [cat], "stream": False}
    assert "".join(line["response"] for line in lines) == client.post("/api/generate", json=body).json()["response"]


def test_ollama_s_embeddings(client, expected):
    answer = client.post("/api/embed", json={"model": "mini", "input": ["a rocket", "a cat"]}).json()
    assert close(answer["embeddings"], np.stack([expected("a rocket"), expected("a cat")]))
    assert close(client.post("/api/embed", json={"input": "a cat"}).json()["embeddings"], expected("a cat")[None])


def test_ollama_s_lists(client):
    [tag] = client.get("/api/tags").json()["models"]
    assert tag["name"] == tag["model"] == "mini:latest"
    assert tag["size"] > 1e6
    assert client.get("/api/version").json()["version"]
    assert client.post("/api/generate", json={"model": "mini"}).json()["done_reason"] == "load"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "what is it?"},
        {"prompt": "x", "images": ["http://localhost/a.jpg"]},
        {"prompt": "x", "images": ["aGVsbG8="]},
        {"prompt": 5},
    ],
)
def test_ollama_s_errors_are_texts(client, body):
    answer = client.post("/api/generate", json=body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def form(*fields):
    """A multipart body as Node's fetch writes it; bytes are a Blob."""
    lines = []
    for name, value in fields:
        lines.append(b"------formdata-undici-012345678901\r\n")
        blob = isinstance(value, bytes)
        kind = b'; filename="blob"\r\nContent-Type: application/octet-stream' if blob else b""
        lines.append(b'Content-Disposition: form-data; name="' + name.encode() + b'"' + kind + b"\r\n\r\n")
        lines.append((value if blob else value.encode()) + b"\r\n")
    lines.append(b"------formdata-undici-012345678901--\r\n")
    return {
        "content": b"".join(lines),
        "headers": {"Content-Type": "multipart/form-data; boundary=----formdata-undici-012345678901"},
    }


def test_immich_s_images_and_texts(client, expected):
    assert client.get("/ping").text == "pong"
    image = IMAGES / "cat.jpg"
    visual = ("entries", '{"clip":{"visual":{"modelName":"ViT-B-32__openai"}}}')
    answer = client.post("/predict", **form(visual, ("image", image.read_bytes()))).json()
    opened = open_image(image, max_pixels=10**8)
    assert (answer["imageWidth"], answer["imageHeight"]) == opened.size
    assert isinstance(answer["clip"], str)
    assert close(json.loads(answer["clip"]), expected("cat.jpg"))
    textual = ("entries", '{"clip":{"textual":{"modelName":"ViT-B-32__openai","options":{"language":"en"}}}}')
    answer = client.post("/predict", **form(textual, ("text", "a rocket"))).json()
    assert answer.keys() == {"clip"}
    assert close(json.loads(answer["clip"]), expected("a rocket"))


@pytest.mark.parametrize(
    "fields",
    [
        [("entries", "{"), ("text", "a")],
        [("entries", '{"facial-recognition":{"detection":{"modelName":"buffalo_l"}}}'), ("image", b"x")],
        [("entries", '{"clip":{"visual":{"modelName":"a"}}}')],
        [("entries", '{"clip":{"visual":{"modelName":"a"}}}'), ("image", b"no image")],
        [("entries", '{"clip":{"textual":{"modelName":"a"}}}'), ("image", b"x")],
        [("entries", '{"clip":[]}'), ("text", "a")],
        [("text", "a")],
    ],
)
def test_immich_s_bad_requests(client, fields):
    answer = client.post("/predict", **form(*fields))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_our_own_shape(client, mini, cat):
    image = IMAGES / "cat.jpg"
    [said] = mini.caption(image)
    answer = client.post("/caption", json={"image": cat}).json()
    assert answer == {"caption": said.text, "confidence": pytest.approx(said.confidence)}
    [chosen] = mini.ask(image, "is there a cat?", ["yes", "no"])
    answer = client.post("/ask", json={"image": cat, "question": "is there a cat?", "choices": ["yes", "no"]}).json()
    assert answer["answer"] == chosen.label == "yes"
    assert answer["probabilities"] == pytest.approx(chosen.probabilities, abs=1e-5)
    answer = client.post("/ask", json={"image": cat, "question": "what colour is it"}).json()
    assert answer["answer"] == mini.ask(image, "what colour is it")[0].text
    [label] = mini.classify(image, ["cat", "rocket"], none=True)
    answer = client.post("/classify", json={"image": cat, "labels": ["cat", "rocket"], "none": True}).json()
    assert (answer["label"], answer["none"]) == ("cat", pytest.approx(label.none, abs=1e-5))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/caption", {"image": "examples/images/cat.jpg"}),
        ("/caption", {}),
        ("/caption", {"image": "aaaa", "path": "/etc/passwd"}),
        ("/classify", {"image": "CAT", "labels": ["cat"]}),
        ("/classify", {"image": "CAT", "labels": ["cat", "cat"]}),
        ("/classify", {"image": "CAT", "labels": "cat"}),
        ("/classify", {"image": "CAT", "labels": ["a", "b"], "min_confidence": 2}),
        ("/ask", {"image": "CAT", "question": " "}),
        ("/ask", {"image": "CAT", "question": "what?", "choices": []}),
    ],
)
def test_our_own_bad_requests(client, cat, path, body):
    answer = client.post(path, json={**body, **({"image": cat} if body.get("image") == "CAT" else {})})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]
