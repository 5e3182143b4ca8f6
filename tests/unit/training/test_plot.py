import sys

import pytest
from PIL import Image

from vljepa.errors import ConfigError, DataError
from vljepa.training.plot import plot_run
from vljepa.training.tracking import RunLog


def test_a_run_is_drawn(tmp_path):
    log = RunLog(tmp_path, step=0)
    for step in range(5):
        log.write("train", step, loss=5.0 - step, lr=1e-3, temperature=0.07)
        log.write(
            "validation", step, **{"a/main": 0.1 * step, "a/image_to_text/r5": 0.2, "moved/gate": 1.0, "mean": 0.1}
        )
    with Image.open(plot_run(tmp_path)) as image:
        assert image.size[0] > 1000


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'vljepa-torch\[plot\]'"):
        plot_run(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no log\.jsonl"):
        plot_run(tmp_path)
