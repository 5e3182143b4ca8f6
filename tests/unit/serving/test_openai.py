"""OpenAI's shape: embeddings of texts and images, captions and answers."""

import base64
import json
import struct
import zlib

import numpy as np
import pytest

from tests.unit.serving.conftest import close
from vljepa.serving.axes import principal_axes

pytestmark = pytest.mark.assets


def embed(client, **request):
    answer = client.post("/v1/embeddings", json={"model": "any", **request})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(client, **request):
    return np.array([one["embedding"] for one in embed(client, **request)["data"]])


def parts(*parts):
    return [{"type": "text", "text": one} if " " in one else {"type": "image_url", "image_url": {"url": one}} for one in
            parts]  # fmt: skip


def test_models(client):
    listed = client.get("/v1/models").json()
    assert listed["object"] == "list"
    [card] = listed["data"]
    assert card["id"] == "mini"
    assert card["architecture"] == {"input_modalities": ["text", "image"], "output_modalities": ["embeddings", "text"]}
    assert client.get("/v1/models/mini").json() == card
    missing = client.get("/v1/models/gpt-5")
    assert missing.status_code == 404
    assert "'mini'" in missing.json()["error"]["message"]


def test_texts_are_the_embedder_s_own_rows(client, expected):
    assert close(rows(client, input="a tabby cat"), expected("a tabby cat")[None])
    answer = embed(client, input=["a tabby cat", "a rocket"])
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert {one["object"] for one in answer["data"]} == {"embedding"}
    assert (answer["object"], answer["model"]) == ("list", "mini")
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 4
    assert close(
        [one["embedding"] for one in answer["data"]], np.stack([expected("a tabby cat"), expected("a rocket")])
    )


def test_jina_s_items_may_be_mixed(client, expected, cat, rocket):
    found = rows(client, input=[{"image": cat}, {"text": "a rocket"}, {"image": f"data:image/jpeg;base64,{rocket}"}])
    assert close(found, np.stack([expected("cat.jpg"), expected("a rocket"), expected("rocket.jpg")]))
    assert found[2] @ found[1] > found[0] @ found[1] + 0.1


def test_messages_are_one_input(client, mini, expected, cat):
    url = f"data:image/jpeg;base64,{cat}"
    user = [{"role": "user", "content": parts(url, "Represent the given image.")}]
    assert close(rows(client, messages=user), expected("cat.jpg")[None])
    assert close(rows(client, messages=[{"role": "user", "content": "a tabby cat"}]), expected("a tabby cat")[None])
    asked = rows(client, messages=[{"role": "user", "content": parts(url, "what colour is it?")}])
    image = base64.b64decode(cat)
    assert close(asked, mini.embedder.images([image], query="what colour is it?"))
    assert not close(asked, expected("cat.jpg")[None])


def test_base64_is_the_same_numbers(client, cat):
    given = ["a tabby cat", {"image": cat}]
    packed = [one["embedding"] for one in embed(client, input=given, encoding_format="base64")["data"]]
    unpacked = np.stack([np.frombuffer(base64.b64decode(one), dtype="<f4") for one in packed])
    assert np.array_equal(unpacked, rows(client, input=given).astype(np.float32))


def test_dimensions_are_those_of_the_principal_axes(client, mini, expected):
    found = rows(client, input="a tabby cat", dimensions=64)
    axes = principal_axes(mini.embedder.texts)
    first = expected("a tabby cat") @ axes[:, :64]
    assert close(found, (first / np.linalg.norm(first))[None])
    whole = len(expected("a tabby cat"))
    assert close(rows(client, input="a tabby cat", dimensions=whole), expected("a tabby cat")[None])
    refused = client.post("/v1/embeddings", json={"input": "a", "dimensions": whole + 1})
    assert refused.status_code == 400
    assert f"have {whole} numbers" in refused.json()["error"]["message"]


def test_a_width_pads_with_zeros(serve, expected):
    found = rows(serve(width=768), input="a tabby cat")
    own = expected("a tabby cat")
    assert close(found[:, : len(own)], own[None])
    assert found.shape == (1, 768)
    assert not found[:, len(own) :].any()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, "missing, or there twice"),
        ({"input": []}, "nothing to embed"),
        ({"input": 5}, "token numbers"),
        ({"input": [[1, 2, 3]]}, "check_embedding_ctx_length=False"),
        ({"input": [{"video": "x"}]}, "neither a text nor an image"),
        ({"input": [{"image": "https://example.org/cat.jpg"}]}, "none is fetched"),
        ({"input": [{"image": "file:///etc/passwd"}]}, "none is fetched"),
        ({"input": [{"image": "/etc/passwd"}]}, "cannot be read|no image|not base64"),
        ({"input": [{"image": "../secret.png"}]}, "is not base64"),
        ({"input": [{"image": "bm8gcGljdHVyZQ=="}]}, "image|image"),
        ({"input": [{"image": "data:image/png,abc"}]}, "not base64"),
        ({"input": [{"image": ""}]}, "empty"),
        ({"input": ["a"] * 2049}, "at most 2048"),
        ({"input": "a" * 100_001}, "at most 100,000"),
        ({"input": "caf\udce9"}, "not Unicode"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "neither text nor an image"),
    ],
)
def test_a_bad_request_is_said_in_a_line(client, request_, reason):
    body = json.dumps(request_).encode()
    answer = client.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413), answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert any(one in error["message"] for one in reason.split("|")), error
    assert "Traceback" not in answer.text


def test_no_image_is_larger_than_the_cap(client):
    """A PNG of 60,000 x 60,000 pixels by its header."""
    png = b"\x89PNG\r\n\x1a\n"
    for chunk in (b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"0" * 99)):
        png += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    answer = client.post("/v1/embeddings", json={"input": [{"image": base64.b64encode(png).decode()}]})
    assert answer.status_code == 400
    assert "pixels" in answer.json()["error"]["message"]


def chat(client, *content, **options):
    return client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": [*content]}], **options})


def test_a_prompt_that_is_no_question_gets_the_caption(client, mini, cat):
    """As Frigate sends it, with its default prompt's beginning."""
    prompt = "Analyze the sequence of images containing the cat. Focus on the likely intent of the cat."
    answer = chat(client, *parts(prompt, f"data:image/jpeg;base64,{cat}"), model="mini").json()
    [said] = mini.caption(base64.b64decode(cat))
    [choice] = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": said.text, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert "cat" in said.text
    assert (answer["object"], answer["model"]) == ("chat.completion", "mini")
    assert answer["vljepa"] == {"kind": "caption", "confidence": pytest.approx(said.confidence)}
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_a_question_gets_its_answer(client, mini, cat):
    answer = chat(client, *parts("what colour is it?", f"data:image/jpeg;base64,{cat}")).json()
    [said] = mini.ask(base64.b64decode(cat), "what colour is it?")
    assert answer["choices"][0]["message"]["content"] == said.text
    assert answer["vljepa"]["kind"] == "answer"


def test_a_question_may_follow_on_an_earlier_image(client, mini, cat):
    image = {"role": "user", "content": parts(f"data:image/jpeg;base64,{cat}")}
    talk = [image, {"role": "assistant", "content": "a cat"}, {"role": "user", "content": "what colour is it?"}]
    answer = client.post("/v1/chat/completions", json={"messages": talk}).json()
    assert answer["choices"][0]["message"]["content"] == mini.ask(base64.b64decode(cat), "what colour is it?")[0].text


def test_several_images_have_a_line_each_and_equal_ones_one(client, mini, cat, rocket):
    urls = [f"data:image/jpeg;base64,{one}" for one in (cat, cat, rocket)]
    said = chat(client, *parts(*urls)).json()["choices"][0]["message"]["content"].split("\n")
    assert said == [one.text for one in mini.caption([base64.b64decode(cat), base64.b64decode(rocket)])]
    assert len(set(said)) == 2


def test_streamed_words_are_the_same(client, cat):
    content = parts(f"data:image/jpeg;base64,{cat}")
    whole = chat(client, *content).json()["choices"][0]["message"]["content"]
    streamed = chat(client, *content, stream=True, stream_options={"include_usage": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    *events, done, rest = streamed.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(one["delta"].get("content", "") for one in deltas) == whole
    assert [one["finish_reason"] for one in deltas] == [None, None, "stop"]
    assert chunks[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("content", [["no image at all"], ["look here: ", "http://169.254.169.254/latest/"]])
def test_chat_without_an_image_is_refused(client, content):
    answer = chat(client, *parts(*content))
    assert answer.status_code == 400
    assert "image" in answer.json()["error"]["message"]
