"""The shipped model behind an address, in this process."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

import vljepa
from vljepa.inference.pipeline import Pipeline
from vljepa.serving.app import make_app
from vljepa.serving.service import Service

IMAGES = Path(__file__).parents[3] / "examples" / "images"


@pytest.fixture(scope="session")
def mini() -> Pipeline:
    return vljepa.load("mini")


@pytest.fixture(scope="session")
def serve(mini: Pipeline) -> Callable[..., TestClient]:
    """A client of a server; keywords as for `make_app`, and `width`."""

    def serve(*, width: int | None = None, **options: Any) -> TestClient:
        app = make_app(Service(mini, name="mini", width=width), **options)
        return TestClient(app, raise_server_exceptions=False)

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
