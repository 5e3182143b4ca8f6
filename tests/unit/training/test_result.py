from pathlib import Path

import pytest

from vljepa.errors import CheckpointError
from vljepa.training.result import RESULT_FILE, TrainResult


def test_a_written_result_is_read_again(tmp_path):
    result = TrainResult(str(tmp_path), steps=5, best_step=3, metrics={"mean": 0.5}, skipped={"a.png": "absent"})
    assert TrainResult.read(tmp_path) is None
    result.write(tmp_path)
    assert TrainResult.read(tmp_path) == result
    assert [path.name for path in tmp_path.iterdir()] == [RESULT_FILE]


def test_a_crash_while_writing_leaves_no_result(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CheckpointError, match="disk full"):
        TrainResult(str(tmp_path), steps=5).write(tmp_path)
    assert TrainResult.read(tmp_path) is None


@pytest.mark.parametrize(("best_step", "name"), [(3, "best"), (None, "last")])
def test_the_model_to_use_is_the_best_or_the_last(tmp_path, best_step, name):
    assert TrainResult(str(tmp_path), steps=5, best_step=best_step).model_folder == tmp_path / name
