"""`vljepa plan`: rates, a film and a page, and what is refused."""

import json

import pytest
import torch
from PIL import Image

from vljepa.checkpoint.eb_jepa import write_vector_world
from vljepa.cli.main import main
from vljepa.configs import EBJEPAConfig
from vljepa.models.video.vector_world import VectorWorld

QUICK = ["--episodes", "3", "--budget", "6", "--samples", "8", "--rounds", "1", "--elites", "2", "--horizon", "4"]
QUICK += ["--hold", "2", "--execute", "2"]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    config = EBJEPAConfig(channels=(4, 4, 4), keypoints=4, width=8, hidden=8, action_width=2)
    write_vector_world(config.model_dump(mode="json"), VectorWorld(config).state_dict(), tmp_path / "model")
    return tmp_path / "model"


def test_rates_a_film_and_a_page(model, tmp_path, capsys):
    gif, html = tmp_path / "rooms.gif", tmp_path / "rooms.html"
    given = [str(model), *QUICK, "--seed", "3", "--seed", "4", "--gif", str(gif), "--html", str(html), "--json"]
    assert main(["plan", *given]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["by_seed"]) == 2
    assert 0 <= found["low"] <= found["success"] <= found["high"] <= 1
    assert found["settings"]["seeds"] == [3, 4]
    with Image.open(gif) as film:
        assert film.n_frames == 7, "what is seen before every step, and after the last one"
        assert film.width == 3 * (3 * 65 + 2 * 6), "image, goal, and the map of energies"
    page = html.read_text()
    assert "data:image/gif;base64," in page
    assert f"{100 * found['success']:.1f}%" in page


@pytest.mark.parametrize("name", ["simulator", "straight_line", "random"])
def test_what_can_act_instead_of_a_model(name, capsys):
    assert main(["plan", name, *QUICK]) == 0
    assert "goals reached" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere"], "is not readable"),
        (["simulator", "--walls", "some"], "walls = 'some'"),
        (["simulator", "--solver", "best"], "no solver 'best'"),
        (["simulator", "--hold", "7"], "hold = 7"),
        (["simulator", "--gif", "film.mp4"], "does not end in .gif"),
    ],
)
def test_what_cannot_be_done_is_refused(given, message, capsys):
    assert main(["plan", *given]) == 2
    assert message in capsys.readouterr().err


def test_a_model_of_another_make_is_refused(model, capsys):
    raw = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(raw | {"model_type": "v_jepa"}))
    assert main(["plan", str(model), *QUICK]) == 2
    assert "is no world model (its model_type is 'v_jepa')" in capsys.readouterr().err
