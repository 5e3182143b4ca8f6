"""One model for many clients: its use by one thread at a time, and what a request carries."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.unit.serving.conftest import close
from vljepa.errors import ImageError
from vljepa.serving.errors import RequestError, TooLargeError
from vljepa.serving.inputs import RequestImage, image_content, is_question, message_parts
from vljepa.serving.service import Service


@pytest.mark.assets
def test_one_thread_alone_uses_the_model(mini, service, expected, cat, monkeypatch):
    threads, made = set(), service()
    for name in ("texts", "answered", "write"):
        plain = getattr(mini.embedder, name)

        def noted(*args, plain=plain, **options):
            threads.add(threading.current_thread())
            return plain(*args, **options)

        monkeypatch.setattr(mini.embedder, name, noted)
    wanted = expected("a cat")
    image = image_content(cat)
    threads.clear()
    with ThreadPoolExecutor(4) as pool:
        rows = [pool.submit(made.embed, ["a cat"]) for _ in range(4)]
        words = [pool.submit(made.describe, [image]), pool.submit(made.ask, image, "a cat?", ["yes", "no"])]
        assert all(close(one.result().rows, wanted[None]) for one in rows)
        assert words[1].result().label == "yes"
        words[0].result()
    assert threads == {made.batcher.thread}


@pytest.mark.assets
def test_many_clients_get_their_own_answers(mini, service, cat, rocket, expected):
    """Also where they went through the model together: every kind of work at once, over and over."""
    made = service()
    images = {name: image_content(one) for name, one in (("cat.jpg", cat), ("rocket.jpg", rocket))}
    captions = {name: mini.caption(one)[0].text for name, one in images.items()}
    answers = {name: mini.ask(one, "what is it?")[0].text for name, one in images.items()}
    chosen = {name: mini.ask(one, "what is it?", ["a cat", "a rocket"])[0].label for name, one in images.items()}
    labels = {name: mini.classify(one, ["cat", "rocket"])[0].confidence for name, one in images.items()}
    assert len(set(captions.values())) == len(set(answers.values())) == len(set(chosen.values())) == 2

    def ask(number):
        name = ("cat.jpg", "rocket.jpg")[number // 6 % 2]
        one = images[name]
        text = ("a cat", "a rocket", "a long text about nothing in particular")[number % 3]
        match number % 6:
            case 0:
                return close(made.embed([text]).rows[0], expected(text))
            case 1:
                return close(made.embed([text, RequestImage(one)]).rows, np.stack([expected(text), expected(name)]))
            case 2:
                return made.describe([one]).text == captions[name]
            case 3:
                return made.describe([one], "what is it?").text == answers[name]
            case 4:
                return made.ask(one, "what is it?", ["a cat", "a rocket"]).label == chosen[name]
            case _:
                found = made.classify(one, ["cat", "rocket"], none=False, min_confidence=0.0)
                return (found.label, round(found.confidence, 4)) == (name.removesuffix(".jpg"), round(labels[name], 4))

    for name in ("a cat", "a rocket", "a long text about nothing in particular", *images):
        expected(name)
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(48))) == [True] * 48


@pytest.mark.assets
def test_a_broken_image_fails_its_own_request_only(service, cat, expected):
    made = service()
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(made.embed, [RequestImage(image_content(cat))]) for _ in range(4)]
        bad = [pool.submit(made.embed, [RequestImage(b"no image")]) for _ in range(4)]
        assert all(isinstance(one.exception(), ImageError) for one in bad)
        assert all(close(one.result().rows[0], expected("cat.jpg")) for one in good)


@pytest.mark.assets
def test_many_images_of_a_request_keep_their_order(service, cat, rocket, expected):
    contents = [image_content(one) for one in (cat, rocket, rocket, cat, rocket)] * 4
    found = service().embed([RequestImage(one) for one in contents]).rows
    names = ["cat.jpg", "rocket.jpg", "rocket.jpg", "cat.jpg", "rocket.jpg"] * 4
    assert close(found, np.stack([expected(name) for name in names]))


@pytest.mark.assets
def test_a_count_above_the_cap_is_refused_before_anything_is_fetched(service):
    fetched = []
    made = service(fetch=fetched.append)
    address = made.image("https://photos.example/a.jpg")
    with pytest.raises(TooLargeError, match="65 images"):
        made.describe([address] * 65)
    with pytest.raises(TooLargeError, match="65 images"):
        made.embed([RequestImage(address)] * 65)
    assert fetched == []


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
