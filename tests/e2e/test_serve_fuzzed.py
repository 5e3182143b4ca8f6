"""The OpenAPI description of `vljepa serve`, fuzzed with schemathesis: whatever is sent, it is not the server's fault.

Seeded and bounded, so that CI sees the same requests every time. Some of the texts that schemathesis makes up are
replaced by an image, an address, a path and the like, so that requests get past the validation.
"""

import base64
import random
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import vljepa
from vljepa.inference.index import Index
from vljepa.serving.app import make_app
from vljepa.serving.service import Service

pytestmark = pytest.mark.assets
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
IMAGES = Path(__file__).parents[2] / "examples" / "images"
CAT = base64.b64encode((IMAGES / "cat.jpg").read_bytes()).decode()
TEXTS = [CAT, f"data:image/jpeg;base64,{CAT}", "what is it?", "a cat", " ", "", "\0", "caf\u00e9 \U0001f600",
         "word " * 20_000, "http://127.0.0.1/", "file:///etc/passwd", "/etc/passwd", "../../etc/passwd",
         CAT[:-400], "data:,",
         "%2e%2e%2f", '{"clip":{"visual":{"modelName":"a"}}}', '{"clip":{"textual":{}}}', "[img]", "user"]  # fmt: skip


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "cat.jpg").write_bytes((IMAGES / "cat.jpg").read_bytes())
    vl = vljepa.load("mini")
    service = Service(vl, name="mini", index=Index.build(vl.model, vl.processor, [folder]))
    yield schemathesis.openapi.from_asgi("/openapi.json", make_app(service, max_body=2**20))
    service.close()


def seasoned(body, choose):
    """A body, some of whose texts are others."""
    if isinstance(body, dict):
        return {name: seasoned(one, choose) for name, one in body.items()}
    if isinstance(body, list):
        return [seasoned(one, choose) for one in body]
    return choose.choice(TEXTS) if choose.random() < 0.7 and isinstance(body, str | None) else body


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_nothing_that_is_sent_is_the_servers_fault(api, mode):
    """And every answer is of the form that the description gives."""
    statuses = set()
    for operation in api.get_all_operations():
        few = settings(max_examples=40, derandomize=True, deadline=None, database=None)

        @settings(few, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy(generation_mode=mode), seed=st.integers(0, 2**32))
        def ask(case, seed):
            if mode == GenerationMode.POSITIVE:
                case.body = seasoned(case.body, random.Random(seed))
            statuses.add(case.call_and_validate(checks=CHECKS).status_code)

        with suppress(Unsatisfiable):  # nothing can be wrong with what takes nothing
            ask()
    assert statuses == ({200, 400, 404} if mode == GenerationMode.POSITIVE else {400})


def test_what_is_no_truth_value_is_refused(api):
    """pydantic would take 0.0 for false; the description says boolean."""
    for path, body in (("/api/generate", {"prompt": "a", "stream": 0.0}), ("/api/generate", {"stream": "no"})):
        assert api[path]["POST"].Case(body=body, media_type="application/json").call().status_code == 400
