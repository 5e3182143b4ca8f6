"""The sentinel: what code in a hostile file would leave behind."""

import pytest


@pytest.fixture
def sentinel(tmp_path):
    """What must not be there at the end."""
    path = tmp_path / "run"
    yield path
    assert not path.exists()
