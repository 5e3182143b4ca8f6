"""`POST /search` over the index that the server was started with."""

import shutil

import pytest

from tests.unit.serving.conftest import IMAGES
from vljepa.inference.index import Index

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def index(mini, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos") / "secret_place"
    folder.mkdir()
    for name in ("cat.jpg", "rocket.jpg"):
        shutil.copy(IMAGES / name, folder / name)
    made = Index.build(mini.model, mini.processor, [folder])
    made.save(folder.parent / "my.index")
    return Index.load(mini.model, mini.processor, folder.parent / "my.index")


def test_texts_and_images_find_what_the_index_itself_finds(serve, index, cat):
    client = serve(index=index, width=768)
    found = client.post("/search", json={"text": "a rocket"}).json()["hits"]
    wanted = index.search("a rocket")
    assert [one["path"] for one in found] == [one.path for one in wanted] == ["rocket.jpg", "cat.jpg"]
    assert [one["score"] for one in found] == pytest.approx([one.score for one in wanted], abs=1e-5)
    [nearest] = client.post("/search", json={"image": cat, "k": 1}).json()["hits"]
    assert nearest["path"] == "cat.jpg"
    assert nearest["score"] == pytest.approx(1.0, abs=1e-4)
    assert client.post("/search", json={"text": "a rocket", "min_score": 0.99}).json() == {"hits": []}


def test_no_answer_names_the_folder_and_no_file_is_served(serve, index):
    client = serve(index=index)
    answers = [client.post("/search", json={"text": "a cat"})]
    answers += [client.get(path) for path in ("/search", "/search/cat.jpg", "/cat.jpg", "/secret_place/cat.jpg")]
    answers += [client.post("/search", json={"image": str(index.folder / "cat.jpg")})]
    assert [one.status_code for one in answers] == [200, 405, 404, 404, 404, 400]
    assert not any("secret_place" in one.text and "/" in one.text.partition("secret_place")[0] for one in answers[:5])
    assert "secret_place" not in answers[0].text


@pytest.mark.parametrize(
    "body",
    [{}, {"text": "a", "image": "aaaa"}, {"text": "  "}, {"text": "a", "k": 0}, {"text": "a", "k": 1001}, {"text": 5},
     {"text": "a", "min_score": 2}, {"text": "a", "path": "/etc/passwd"}, {"text": "a", "index": "other.index"}],
)  # fmt: skip
def test_bad_requests(serve, index, body):
    answer = serve(index=index).post("/search", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_without_an_index_it_says_so(client):
    answer = client.post("/search", json={"text": "a cat"})
    assert answer.status_code == 404
    assert "--index" in answer.json()["error"]["message"]
