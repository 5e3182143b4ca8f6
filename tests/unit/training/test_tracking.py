import pytest

from vljepa.errors import CheckpointError
from vljepa.training.tracking import Monitor, RunLog, read_log


def test_lines_after_the_step_of_a_resume_are_dropped(tmp_path):
    log = RunLog(tmp_path, step=0)
    for step in (1, 2, 3):
        log.write("train", step, loss=float(step))
    with log.path.open("a") as file:
        file.write('{"kind": "tr')  # cut off by a crash
    RunLog(tmp_path, step=2).write("train", 3, loss=30.0)
    assert [(line["step"], line["loss"]) for line in read_log(tmp_path)] == [(1, 1.0), (2, 2.0), (3, 30.0)]
    RunLog(tmp_path, step=0)
    assert read_log(tmp_path) == []


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    log = RunLog(tmp_path, step=0)
    log.path.unlink()
    log.path.mkdir()
    for write in (lambda: log.write("train", 1), lambda: RunLog(tmp_path, step=0)):
        with pytest.raises(CheckpointError, match=r"cannot write .*log\.jsonl.*free some space"):
            write()


def test_off_a_terminal_there_are_plain_lines(capsys):
    with Monitor(start=0, steps=10) as monitor:
        monitor.count(0, 32)
        assert monitor.throughput() > 0
        monitor.report(0, "loss 1.0")
        monitor.say("[red] is just text")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 1/10  loss 1.0" in captured.err
    assert "min left" in captured.err
    assert "[red] is just text" in captured.err
