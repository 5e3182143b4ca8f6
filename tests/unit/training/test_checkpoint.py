import pickle

import pytest
import torch

from vljepa.errors import CheckpointError
from vljepa.training.checkpoint import STATE_FILE, intact_folder, load_state, replace_folder, save_state


def writer(text):
    return lambda folder: (folder / "file").write_text(text)


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "last"
    replace_folder(target, writer("old"))
    replace_folder(target, writer("new"))
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["last"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_folder(tmp_path, error):
    target = tmp_path / "last"
    replace_folder(target, writer("old"))

    def fail(folder):
        (folder / "half").touch()
        raise error

    with pytest.raises(CheckpointError if isinstance(error, OSError) else KeyboardInterrupt):
        replace_folder(target, fail)
    assert (intact_folder(target) / "file").read_text() == "old"
    replace_folder(target, writer("new"))
    assert [path.name for path in target.iterdir()] == ["file"]


def test_a_crash_between_the_renames_is_mended(tmp_path):
    target = tmp_path / "last"
    assert intact_folder(target) is None
    replace_folder(target, writer("old"))
    target.rename(tmp_path / ".last.old")
    assert (intact_folder(target) / "file").read_text() == "old"
    replace_folder(target, writer("new"))
    assert (intact_folder(target) / "file").read_text() == "new"


def test_state_comes_back(tmp_path):
    state = {"step": 3, "tensor": torch.arange(3), "nested": {"none": None, "text": "x", "list": [1.5]}}
    save_state(tmp_path, state)
    found = load_state(tmp_path, device=torch.device("cpu"))
    assert torch.equal(found.pop("tensor"), state.pop("tensor"))
    assert found == state


class Hostile:
    def __reduce__(self):
        return (open, ("pwned", "w"))


def test_code_in_a_state_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"step": Hostile()}, tmp_path / STATE_FILE)
    with pytest.raises(CheckpointError, match="does not load"):
        load_state(tmp_path, device=torch.device("cpu"))
    (tmp_path / STATE_FILE).write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(CheckpointError, match="does not load"):
        load_state(tmp_path, device=torch.device("cpu"))
    assert not (tmp_path / "pwned").exists()


def test_a_missing_state_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"training\.pt"):
        load_state(tmp_path, device=torch.device("cpu"))
