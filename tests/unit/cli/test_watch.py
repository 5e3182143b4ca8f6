"""`vljepa watch`, as a real process; what it does is in `inference/test_index_fresh.py`."""

import json
import signal
import subprocess
import sys
import threading

from PIL import Image

COMMAND = [sys.executable, "-c", "import sys; from vljepa.cli.main import main; sys.exit(main())"]


def test_it_keeps_an_index_fresh_until_a_signal_ends_it(run, toy, images):
    words = ["watch", "images", "-o", "p.index", "--model", toy, "--quiet", "0.1", "--json"]
    with subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(60, process.kill)
        guard.start()
        first = json.loads(process.stdout.readline())
        Image.new("RGB", (9, 9), "green").save(images / "new.png")
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        guard.cancel()

    assert (first["images"], first["embedded"], first["index"]) == (2, 2, "p.index")
    assert (second["images"], second["embedded"], second["unchanged"]) == (3, 1, 2)
    assert (process.returncode, out) == (0, "")
    assert err.splitlines()[0] == "watching images; Ctrl-C ends"
    assert err.splitlines()[-1] == "stopped by SIGTERM: p.index keeps all that is done"
    assert "broken.png" in err
    assert run("search", "p.index", "green", "--model", toy, "-k", "9", "--json")[1].count('"path"') == 3


def test_what_cannot_work_is_said_before_the_model_is_loaded(fails, images):
    assert "not an index" in fails("watch", "images", "-o", "images", "--model", "nope")
