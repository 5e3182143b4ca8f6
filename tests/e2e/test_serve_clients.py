"""`vljepa serve` as a process of its own, asked by clients that people have: ollama, LangChain, Frigate's requests."""

import base64
from pathlib import Path

import numpy as np
import ollama
import pytest
import requests
from langchain_openai import OpenAIEmbeddings
from langchain_openai.chat_models import ChatOpenAI

import vljepa
from tests.serving_process import serving

pytestmark = pytest.mark.assets
IMAGES = Path(__file__).parents[2] / "examples" / "images"
KEY = "of-the-test"


@pytest.fixture(scope="module")
def address():
    """Of the server."""
    with serving("--api-key", KEY) as (_, address):
        yield address


@pytest.fixture(scope="module")
def vl():
    return vljepa.load("mini")


@pytest.fixture(scope="module")
def cat():
    return (IMAGES / "cat.jpg").read_bytes()


def test_ollama(address, vl, cat):
    client = ollama.Client(host=address, headers={"Authorization": f"Bearer {KEY}"})
    assert [one.model for one in client.list().models] == ["mini:latest"]
    shown = client.show("mini")
    assert set(shown.capabilities) == {"embedding", "vision", "completion"}
    assert shown.details.family == "vljepa"
    rows = client.embed(model="mini", input=["a tabby cat", "a rocket"]).embeddings
    assert np.array(rows) == pytest.approx(vl.encode(texts=["a tabby cat", "a rocket"]), abs=1e-5)
    short = np.array(client.embed(model="mini", input="a tabby cat", dimensions=64).embeddings)
    assert short.shape == (1, 64)
    assert np.linalg.norm(short) == pytest.approx(1.0, abs=1e-5)
    caption, answer = vl.caption(cat)[0].text, vl.ask(cat, "what colour is it?")[0].text
    assert client.generate(model="mini", prompt="Describe this image.", images=[cat]).response == caption
    pieces = list(client.generate(model="mini", prompt="Describe this image.", images=[cat], stream=True))
    assert "".join(one.response for one in pieces) == caption
    message = {"role": "user", "content": "what colour is it?", "images": [cat]}
    assert client.chat(model="mini", messages=[message]).message.content == answer
    talk = [message, {"role": "assistant", "content": answer}, {"role": "user", "content": "Describe it."}]
    assert "".join(one.message.content for one in client.chat(model="mini", messages=talk, stream=True)) == caption
    with pytest.raises(ollama.ResponseError, match="no image") as refused:
        client.chat(model="mini", messages=[{"role": "user", "content": "hello"}])
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError, match="API key"):
        ollama.Client(host=address).list()


def test_langchain(address, vl, cat):
    base = {"base_url": f"{address}/v1", "api_key": KEY, "model": "mini"}
    embeddings = OpenAIEmbeddings(**base, check_embedding_ctx_length=False)
    texts = ["a tabby cat", "a rocket"]
    assert np.array(embeddings.embed_documents(texts)) == pytest.approx(vl.encode(texts=texts), abs=1e-5)
    assert embeddings.embed_query("a rocket") == pytest.approx(vl.encode(texts="a rocket")[0], abs=1e-5)
    image = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{base64.b64encode(cat).decode()}"}}
    content = [{"type": "text", "text": "what colour is it?"}, image]
    chat = ChatOpenAI(**base)
    assert chat.invoke([{"role": "user", "content": content}]).content == vl.ask(cat, "what colour is it?")[0].text
    pieces = chat.stream([{"role": "user", "content": content}])
    assert "".join(str(one.content) for one in pieces) == vl.ask(cat, "what colour is it?")[0].text


def test_frigate_s_llama_cpp_provider(address, vl, cat):
    """What it sends at its start, for embeddings and for descriptions; by the library that it sends with."""
    key = {"headers": {"Authorization": f"Bearer {KEY}"}}
    [model] = requests.get(f"{address}/v1/models", timeout=10, **key).json()["data"]
    assert "mini" in {model["id"], *model["aliases"]}
    assert "image" in model["architecture"]["input_modalities"]
    props = requests.get(f"{address}/props", params={"model": "mini"}, timeout=10, **key).json()
    assert int(props["default_generation_settings"]["n_ctx"]) > 0
    marker, image = props["media_marker"], base64.b64encode(cat).decode("utf-8")

    content = [{"prompt_string": "a rocket"}, {"prompt_string": f"{marker}\n", "multimodal_data": [image]}]
    answer = requests.post(f"{address}/embeddings", json={"model": "mini", "content": content}, timeout=60, **key)
    rows = np.array([one["embedding"] for one in answer.json()["data"]], dtype=np.float32)
    own = np.stack([vl.encode(texts="a rocket")[0], vl.encode(images=cat)[0]])
    assert rows == pytest.approx(own, abs=1e-5)
    padded = np.pad(rows, ((0, 0), (0, 768 - rows.shape[1])))  # as it does itself
    assert padded @ padded.T == pytest.approx(own @ own.T, abs=1e-5)

    url = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}}
    parts = [{"type": "text", "text": "Analyze the sequence of images containing the cat."}]
    parts += [part for number in (1, 2) for part in ({"type": "text", "text": f"Frame {number}:"}, url)]
    schema = {"type": "json_schema", "json_schema": {"name": "review", "strict": True, "schema": {"type": "object"}}}
    body = {"model": "mini", "messages": [{"role": "user", "content": parts}], "response_format": schema}
    answer = requests.post(f"{address}/v1/chat/completions", json=body, timeout=60, **key)
    assert answer.json()["choices"][0]["message"]["content"].strip() == vl.caption(cat)[0].text

    probe = {
        "model": "mini",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "."}]}],
        "max_tokens": 1,
    }
    assert requests.post(f"{address}/v1/chat/completions", json=probe, timeout=60, **key).status_code == 400


def test_frigate_s_ollama_provider(address, vl, cat):
    client = ollama.Client(host=address, headers={"Authorization": f"Bearer {KEY}"})
    assert not client.show("mini").get("error")
    inputs = ["a rocket", {"image": base64.b64encode(cat).decode("utf-8")}]
    body = client._request_raw(
        "POST", "/api/embed", json={"model": "mini", "input": inputs}
    ).json()  # as it does itself
    own = np.stack([vl.encode(texts="a rocket")[0], vl.encode(images=cat)[0]])
    assert np.array(body["embeddings"]) == pytest.approx(own, abs=1e-5)
    message = {"role": "user", "content": "Describe the person.\n[img]\n[img]", "images": [cat, cat]}
    options = {"temperature": 0.5, "repeat_penalty": 1.05, "presence_penalty": 0.3}
    answer = client.chat(model="mini", messages=[message], options=options, think=False)
    assert answer.message.content == vl.caption(cat)[0].text
    assert answer.prompt_eval_count > 0
