"""What is logged goes to the trackers too, and a tracker that is not there is told."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vljepa.configs import TrainConfig
from vljepa.errors import ConfigError
from vljepa.training.trackers import tracker_settings
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


def test_tensorboard_has_what_the_log_has(make_run):
    run = make_run(train={"steps": 3, "eval_every": 2, "trackers": ["tensorboard"]})
    trainer = Trainer(run)
    trainer.fit()
    [file] = trainer.folder.rglob("events.out.tfevents*")
    events = EventAccumulator(str(file)).Reload()
    lines = [line for line in read_log(trainer.folder) if line["kind"] == "train"]
    written = events.Scalars("train/loss")
    assert [(one.step, one.value) for one in written] == [
        (line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines
    ]
    assert [one.step for one in events.Scalars("validation/captions/main")] == [0, 2, 3]


def test_trackio_has_what_the_log_has(make_run, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # read on import
    trackio = pytest.importorskip("trackio")
    from trackio.sqlite_storage import SQLiteStorage

    trainer = Trainer(make_run(train={"steps": 3, "eval_every": 2, "trackers": ["trackio"]}))
    trainer.fit()
    [run] = trackio.Api().runs(trainer.folder.name)
    written = SQLiteStorage.get_logs(run.project, run.name)
    lines = {line["step"]: line["loss"] for line in read_log(trainer.folder) if line["kind"] == "train"}
    assert {one["step"]: one["train/loss"] for one in written if "train/loss" in one} == pytest.approx(lines)
    assert [one["step"] for one in written if "validation/captions/main" in one] == [0, 2, 3]


def test_without_a_tracker_there_is_only_the_log(make_run):
    trainer = Trainer(make_run(train={"steps": 1}))
    trainer.fit()
    assert not list(trainer.folder.rglob("events.out.tfevents*"))


def test_a_tracker_that_does_not_import_is_an_error(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    with pytest.raises(ConfigError, match="'trackio', which does not import") as error:
        tracker_settings(TrainConfig(trackers=["trackio"]))
    assert "pip install trackio" in error.value.fix


def test_a_run_that_is_cut_leaves_what_it_logged(make_run, monkeypatch):
    run = make_run(train={"steps": 4, "trackers": ["tensorboard"]})
    trainer = Trainer(run)
    original = Trainer._train_step

    def cut(self, step, *arguments):
        if step == 2:
            raise KeyboardInterrupt
        original(self, step, *arguments)

    monkeypatch.setattr(Trainer, "_train_step", cut)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    [file] = trainer.folder.rglob("events.out.tfevents*")
    assert [one.step for one in EventAccumulator(str(file)).Reload().Scalars("train/loss")] == [1, 2]
