"""The shipped model behind an address, in this process."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import vljepa
from vljepa.inference.pipeline import Pipeline
from vljepa.serving.app import make_app
from vljepa.serving.service import Service

OF_APP = {"api_key", "max_body", "queue", "metrics", "log"}
IMAGES = Path(__file__).parents[3] / "examples" / "images"


@pytest.fixture(scope="session")
def mini() -> Pipeline:
    return vljepa.load("mini")


@pytest.fixture(scope="session")
def service(mini: Pipeline) -> Iterator[Callable[..., Service]]:
    """A service of the shipped model; keywords as for `Service`."""
    made = []

    def service(**options: Any) -> Service:
        made.append(Service(mini, name="mini", **options))
        return made[-1]

    yield service
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def serve(service: Callable[..., Service]) -> Callable[..., TestClient]:
    """A client of a server; keywords as for `make_app` and for `Service`."""

    def serve(**options: Any) -> TestClient:
        of_app = {
            name: options.pop(name) for name in ("api_key", "max_body", "queue", "metrics", "log") if name in options
        }
        return TestClient(make_app(service(**options), **of_app), raise_server_exceptions=False)

    return serve


@pytest.fixture(scope="session")
def client(serve: Callable[..., TestClient]) -> TestClient:
    return serve()


@pytest.fixture(scope="session")
def cat() -> str:
    """base64 of the image of a cat."""
    return base64.b64encode((IMAGES / "cat.jpg").read_bytes()).decode()


@pytest.fixture(scope="session")
def rocket() -> str:
    return base64.b64encode((IMAGES / "rocket.jpg").read_bytes()).decode()


@pytest.fixture(scope="session")
def expected(mini: Pipeline) -> Callable[..., Any]:
    """The Embedder's own row of a picture of the examples, or of a text."""

    def expected(what: str) -> Any:
        if (IMAGES / what).is_file():
            return mini.embedder.images([IMAGES / what])[0]
        return mini.embedder.texts([what])[0]

    return expected


def close(rows: Any, wanted: Any) -> bool:
    """Whether they are equal to 1e-5."""
    return np.shape(rows) == np.shape(wanted) and float(np.abs(np.asarray(rows) - wanted).max()) < 1e-5
