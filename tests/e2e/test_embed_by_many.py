"""`accelerate launch ... vljepa embed`: two processes make what one makes."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.launching import CONFIGS, free_port
from vljepa import VLJEPA
from vljepa.configs import load_preset

COMMAND = """
import sys
from vljepa.cli.main import main
from vljepa.inference.index import units
units.IMAGES = 4
sys.exit(main())
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Folder of a saved toy model."""
    folder = tmp_path_factory.mktemp("toy")
    VLJEPA(load_preset("toy")).save_pretrained(folder)
    return folder


def content(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_two_processes_make_what_one_makes(toy, tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(30):
        Image.new("RGB", (8, 8), (number, 255 - number, 7)).save(tmp_path / "images" / f"{number:02}.png")
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    (tmp_path / "embed.py").write_text(COMMAND)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(CONFIGS / "cpu.yaml")]
    launcher += ["--main_process_port", str(free_port())]
    words = ["embed.py", "embed", "images", "--model", str(toy), "--device", "cpu", "-o"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    outs = []
    for start, output in (([sys.executable], "one.index"), (launcher, "two.index")):
        done = subprocess.run(
            [*start, *words, output], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        outs.append(done.stdout)

    assert outs == ["30 images in one.index\n", "30 images in two.index\n"]
    assert content(tmp_path / "two.index") == content(tmp_path / "one.index")
