"""The key, the size of bodies, and what a client is told of faults."""

import pytest

from vljepa.serving.service import Service

pytestmark = pytest.mark.assets


def test_with_a_key_only_health_is_open(serve):
    client = serve(api_key="secret")
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "model": "mini"}
    for path in ("/v1/models", "/props", "/api/tags", "/ping", "/openapi.json", "/nothing"):
        assert client.get(path).status_code == 401
    refused = client.get("/v1/models", headers={"Authorization": "Bearer wrong"})
    assert refused.json()["error"]["type"] == "authentication_error"
    assert isinstance(client.get("/api/tags").json()["error"], str)
    for headers in ({"Authorization": "Bearer secret"}, {"authorization": "bearer secret"}, {"X-API-Key": "secret"}):
        assert client.get("/v1/models", headers=headers).status_code == 200
    for headers in ({"Authorization": "Basic secret"}, {"X-API-Key": "secre"}, {"Authorization": b"Bearer \xff"}):
        assert client.get("/v1/models", headers=headers).status_code == 401


def test_a_body_may_have_its_size_and_no_more(serve):
    client = serve(max_body=1000)
    head = {"Content-Type": "application/json"}
    fits = b'{"input": "a"}'.ljust(1000)
    assert client.post("/v1/embeddings", content=fits, headers=head).status_code == 200
    said = client.post("/v1/embeddings", content=fits + b" ", headers=head)
    unsaid = client.post("/v1/embeddings", content=iter([fits, b" "]), headers=head)  # chunked, without a length
    form = client.post("/predict", files={"image": b"x" * 2000}, data={"entries": "{}"})
    for refused in (said, unsaid, form):
        assert refused.status_code == 413
        assert "larger than" in refused.json()["error"]["message"]
    assert client.post("/v1/embeddings", content=iter([fits]), headers=head).status_code == 200


def test_a_fault_of_ours_is_not_explained_to_clients(serve, monkeypatch):
    def broken(*args, **options):
        raise RuntimeError("secret of /home/someone")

    client = serve()
    monkeypatch.setattr(Service, "embed", broken)
    answer = client.post("/v1/embeddings", json={"input": "a"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"5", b"null", b"", b'{"input": NaN}', b"\xff\xfe", b'{"input":' + b"[" * 100_000,
     b'{"input": "a", "dimensions": ' + b"9" * 5000 + b"}", b'{"input": "a", "dimensions": 1e999}'],
    ids=lambda body: ascii(body[:20]),
)  # fmt: skip
def test_what_is_no_request_is_refused(client, body):
    answer = client.post("/v1/embeddings", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_unknown_paths_and_methods(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/v1/embeddings").status_code == 405
    assert client.get("/../../etc/passwd").status_code == 404
    assert client.get("/static/%2e%2e/%2e%2e/etc/passwd").json()["error"]["message"] == "Not Found"


def test_another_site_s_page_may_not_ask(client):
    answer = client.options(
        "/v1/embeddings", headers={"Origin": "http://example.org", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in answer.headers
    plain = client.post("/v1/embeddings", content=b'{"input": "a"}', headers={"Content-Type": "text/plain"})
    assert plain.status_code == 400
