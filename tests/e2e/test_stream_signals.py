"""Ctrl-C and SIGTERM on a real stream: nothing that was seen is lost, and every file is complete."""

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.decoders import tiny_decoder
from tests.videos import write_video
from vljepa.checkpoint.decoder import save_decoder

IMAGES = Path(__file__).parents[2] / "examples" / "images"
VLJEPA_COMMAND = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A decoder in mini's text space that was never trained: what it says is anyone's guess."""
    from vljepa import VLJEPA

    folder = tmp_path_factory.mktemp("decoder")
    space = VLJEPA.from_pretrained("mini").text_space_hash()
    save_decoder(tiny_decoder(embed_dim=384, text_space=space), folder)
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twenty minutes of photos, five seconds each: more than any machine looks through in a moment."""
    photos = [Image.open(path).convert("RGB").resize((160, 120)) for path in sorted(IMAGES.glob("*.jpg"))]
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(
        path, count=4800, fps=4, size=(160, 120), make=lambda number, _: photos[number // 20 % len(photos)]
    )


@pytest.mark.assets
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_decoded_is_kept(number, code, decoder, film, tmp_path):
    files = {kind: tmp_path / f"out.{kind}" for kind in ("jsonl", "srt", "vtt", "html")}
    outputs = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    command = [*VLJEPA_COMMAND, "stream", str(film), "--decoder", str(decoder), *outputs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.send_signal(number)
        rest, err = process.communicate(timeout=120)

    assert process.returncode == code, err
    assert "Traceback" not in err
    lines = [first.rstrip("\n"), *rest.splitlines()]
    assert first.startswith("[00:00.0 - 00:0")
    assert len(lines) >= 2  # the open segment came after the signal
    records = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [line.partition("] ")[2] for line in lines] == [record["text"] for record in records]
    assert all(one["end"] == other["start"] for one, other in itertools.pairwise(records))
    assert records[-1]["end"] < 1200
    for kind in ("srt", "vtt"):
        content = files[kind].read_text()
        assert content.endswith("\n\n")
        assert content.count(" --> ") == sum(bool(record["text"]) for record in records)
    page = files["html"].read_text()
    assert page.endswith("</html>\n")
    assert page.count('<li class="card"') == len(records)
