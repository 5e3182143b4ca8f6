import pytest
from PIL import Image

from tests.decoders import tiny_decoder
from vljepa.checkpoint.decoder import save_decoder
from vljepa.cli.main import main


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """Folder of a saved toy model: random towers, real code; the same ones whatever ran before."""
    import torch

    from vljepa import VLJEPA
    from vljepa.configs import load_preset

    folder = tmp_path_factory.mktemp("toy")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        VLJEPA(load_preset("toy")).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Working directory with images/: red.png, deep/blue.jpg and broken.png, which is no image."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(folder / "red.png")
    Image.new("RGB", (8, 8), "blue").save(folder / "deep" / "blue.jpg")
    (folder / "broken.png").write_bytes(b"not an image")
    return folder


@pytest.fixture
def story(images):
    """story.gif beside the images: red for two seconds, blue for one, white for one."""
    scenes = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "white")]
    path = images.parent / "story.gif"
    scenes[0].save(path, save_all=True, append_images=scenes[1:], duration=[2000, 1000, 1000])
    return path


@pytest.fixture
def run(capsys):
    """Run a command line in this process: (exit code, stdout, stderr)."""

    def run(*words):
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def fails(run):
    """Run a command line that must fail as a user's error: its one line on stderr, with the fix."""

    def fails(*words):
        code, out, err = run(*words)
        assert code == 2
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Fix: " in err
        return err

    return fails


@pytest.fixture(scope="session")
def speaking_toy(toy, tmp_path_factory):
    """Options of a toy model with a decoder that was never trained: what it says is anyone's guess."""
    from vljepa import VLJEPA

    folder = tmp_path_factory.mktemp("decoder")
    selective = {"threshold": 0.2, "window": 2}
    space = VLJEPA.from_pretrained(toy).text_space_hash()
    save_decoder(tiny_decoder(text_space=space, selective=selective), folder)
    return ["--model", toy, "--decoder", str(folder)]
