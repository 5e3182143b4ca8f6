"""One model for many clients: its use by one thread at a time, and what a request carries."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.unit.serving.conftest import close
from vljepa.serving.errors import RequestError
from vljepa.serving.inputs import RequestImage, image_content, is_question, message_parts
from vljepa.serving.service import Service


@pytest.mark.assets
def test_the_model_is_used_by_one_thread_at_a_time(mini, expected, monkeypatch):
    together, plain = threading.Barrier(2), mini.embedder.texts

    def texts(given):
        with pytest.raises(threading.BrokenBarrierError):  # no other one comes
            together.wait(timeout=0.5)
        return plain(given)

    service, wanted = Service(mini, name="mini"), expected("a cat")
    monkeypatch.setattr(mini.embedder, "texts", texts)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(service.embed, [["a cat"]] * 4):
            assert close(rows, wanted[None])


@pytest.mark.assets
def test_many_clients_get_their_own_answers(mini, cat, rocket, expected):
    service = Service(mini, name="mini")
    asked = [("a cat", "a cat"), (RequestImage(image_content(cat)), "cat.jpg"), ("a rocket", "a rocket")] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: service.embed([one[0]])[0], asked))
    assert close(found, np.stack([expected(name) for _, name in asked]))


@pytest.mark.assets
def test_a_folder_s_place_is_nobody_s_business(mini, tmp_path):
    assert Service(mini, name=str(tmp_path)).name == tmp_path.name
    assert Service(mini, name="aligned:google/siglip").name == "aligned:google/siglip"


@pytest.mark.parametrize("text", ["aGVsbG8=", "data:image/png;base64,aGVsbG8=", "DATA:;base64,aGVs\nbG8=\n"])
def test_base64_is_taken_bare_and_as_a_data_url(text):
    assert image_content(text) == b"hello"


@pytest.mark.parametrize(
    "text",
    ["http://a.b/c.jpg", "HTTPS://a.b", "file:///etc/passwd", "ftp://a", "/etc/passwd", "C:\\a.jpg", "data:image/png,x",
     "data:text/html,<b>", "a b$", None, 5, {"url": "x"}, " "],
)  # fmt: skip
def test_nothing_else_is(text):
    with pytest.raises(RequestError):
        image_content(text)


@pytest.mark.parametrize(
    ("prompt", "asks"),
    [
        ("what colour is it?", True),
        ("What is this? ", True),
        ("Describe this image.", False),
        ("", False),
        ("?", True),
        ("Is it a cat? Answer as JSON.", False),
        ("word " * 41 + "?", False),
    ],
)
def test_questions_are_told_from_instructions(prompt, asks):
    assert is_question(prompt) is asks


def test_parts_of_a_message():
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "aGVsbG8="}}]
    assert message_parts([*parts, {"type": "text", "text": "b"}]) == ("a\nb", [b"hello"])
    assert message_parts([{"type": "image_url", "image_url": "aGVsbG8="}]) == ("", [b"hello"])
    assert message_parts("a") == ("a", [])
    assert message_parts(None) == ("", [])
    for bad in ([5], [{"type": "text"}], [{"type": "image_url"}], [{"type": "input_audio"}]):
        with pytest.raises(RequestError):
            message_parts(bad)
