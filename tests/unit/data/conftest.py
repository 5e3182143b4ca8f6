"""A model of random towers, and a video whose frames can be told."""

import pytest

from tests.videos import write_video
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset


@pytest.fixture(scope="module")
def toy():
    model = VLJEPA(load_preset("toy"))
    return model.eval(), VLJEPAProcessor(model.config)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """Two seconds at 10 fps; the grey value tells the frame."""
    return write_video(tmp_path_factory.mktemp("numbers") / "numbers.mp4")
