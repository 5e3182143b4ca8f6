"""A run that is cut off and resumed computes what the uninterrupted run computes, to the last bit (PITFALLS 21)."""

import json
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import write_rows
from tests.shard_server import serve
from vljepa import VLJEPA
from vljepa.configs import RunConfig, load_preset, validate
from vljepa.training.averaging import WeightAverage
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer


class CutError(Exception):
    """Stands for a kill."""


def cut_at(monkeypatch, step):
    original = Trainer._train_step

    def step_or_cut(self, number, *arguments):
        if number == step:
            raise CutError
        original(self, number, *arguments)

    monkeypatch.setattr(Trainer, "_train_step", step_or_cut)


def run_through(run, *, cuts=()):
    for cut in cuts:
        with pytest.MonkeyPatch.context() as monkeypatch:
            cut_at(monkeypatch, cut)
            with pytest.raises(CutError):
                Trainer(run).fit()
    result = Trainer(run).fit()
    folder = Path(run.train.output)
    log = [line for line in read_log(folder) if line["kind"] in ("train", "validation")]
    for line in log:
        line.pop("samples_per_second", None)
    return log, weights(folder / "last"), weights(folder / "best"), result


def weights(folder):
    """Of a model, or of its adapters."""
    [file] = folder.glob("*.safetensors")
    return load_file(file)


@pytest.fixture
def settings():
    """Dropout on, so that its random stream is part of the question; several epochs of each source."""
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.2
    return {"model": model, "train": {"steps": 10, "eval_every": 3, "batch_size": 20}}


OPTIONS = {
    "cached": {},
    "live, loader processes": {"data": {"cache": None, "workers": 2}},
    "gradient cache, saved at other steps": {"objective": {"grad_cache": 6}, "train": {"save_every": 2}},
    "adapters, gradient cache": {"lora": {"rank": 4, "dropout": 0.1}, "objective": {"grad_cache": 6}},
}
"""What a run may ask for, each of which has to resume exactly: add to it."""


@pytest.fixture
def make(make_run, settings, tmp_path):
    """A run by its options; with adapters it goes on from a model that was saved."""

    def make(output, options):
        sections = {name: settings.get(name, {}) | options.get(name, {}) for name in settings | options}
        lora = sections.pop("lora", None)
        run = make_run(output, **sections)
        if lora is None:
            return run
        if not (tmp_path / "base").exists():
            VLJEPA.from_parts(run.model).save_pretrained(tmp_path / "base")
        changes = {"model": None, "start": str(tmp_path / "base"), "lora": lora}
        return validate(RunConfig, run.model_dump() | changes, where="test")

    return make


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_three_cuts_change_nothing(make, options):
    """PITFALLS 21: cuts within an epoch of either source (24 and 48 rows, 10 of each per step) and across epochs."""
    whole = run_through(make("whole", options))
    pieces = run_through(make("pieces", options), cuts=(4, 5, 8))
    assert pieces[0] == whole[0]
    assert whole[1]
    for ours, theirs in zip(pieces[1:3], whole[1:3], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert pieces[3].metrics == whole[3].metrics


@pytest.fixture
def groups(settings, tmp_path):
    """Sources of every kind, each in a group of its own, a refined label prior, and an average of the weights."""
    write_rows(tmp_path / "text.jsonl", [{"text": [f"cat {n}", f"the cat {n}", f"{n} cats"]} for n in range(9)])
    settings["model"]["residual"] |= {"hidden": 16, "dropout": 0.3}
    settings["train"] |= {"ema": 0.8}
    captions = {"path": "captions.jsonl"}
    text = {"path": str(tmp_path / "text.jsonl"), "view": {"name": "text", "like": "captions"}}
    return settings | {
        "data": {
            "train": [
                captions | {"name": "captions", "first_text": 0.5},
                {"name": "questions", "path": "questions.jsonl", "group": "questions", "views": 1},
                captions | {"name": "few", "group": "few", "gate_only": True, "views": 3},
                text | {"name": "text", "group": "text"},
            ]
        }
    }


def averages(run):
    return torch.load(Path(run.train.output) / "last" / "training.pt", weights_only=True)["hooks"]["average"]


def test_three_cuts_change_nothing_with_groups_and_an_average(make_run, groups):
    whole_run, pieces_run = make_run("whole", **groups), make_run("pieces", **groups)
    whole, pieces = run_through(whole_run), run_through(pieces_run, cuts=(4, 5, 8))
    assert pieces[0] == whole[0]
    kept = zip((*pieces[1:3], averages(pieces_run)), (*whole[1:3], averages(whole_run)), strict=True)
    for ours, theirs in kept:
        assert ours.keys() == theirs.keys()
        assert ours
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert pieces[3].metrics == whole[3].metrics


def test_an_average_that_is_forgotten_is_told_apart(make_run, groups, monkeypatch):
    """The control: a resume that starts the average anew gives other weights."""
    whole_run, pieces_run = make_run("whole", **groups), make_run("pieces", **groups)
    run_through(whole_run)
    monkeypatch.setattr(WeightAverage, "restore", lambda *_: None)
    run_through(pieces_run, cuts=(8,))
    name = "predictor.head.weight"
    assert not torch.equal(averages(pieces_run)[name], averages(whole_run)[name])


def test_the_comparison_can_fail(make_run, settings):
    """The control: another seed is told apart."""
    whole = run_through(make_run("whole", **settings))
    settings["train"]["seed"] = 1
    assert run_through(make_run("other", **settings))[0] != whole[0]


def test_the_number_of_loader_processes_may_change(make):
    def run(name, workers):
        return make(name, {"data": {"cache": None, "workers": workers}, "train": {"save_every": 1}})

    whole = run_through(run("whole", 0))
    for cut, workers in ((3, 2), (7, 1)):
        with pytest.MonkeyPatch.context() as monkeypatch:
            cut_at(monkeypatch, cut)
            with pytest.raises(CutError):
                Trainer(run("pieces", workers)).fit()
    assert run_through(run("pieces", 0))[0] == whole[0]


@pytest.fixture
def shard_server(shapes, tmp_path):
    """The captions in tars of five images, behind an address."""
    folder = tmp_path / "remote"
    folder.mkdir()
    rows = [json.loads(line) for line in (shapes / "captions.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        with tarfile.open(folder / f"{number // 5:03}.tar", "a") as tar:
            tar.add(shapes / row["image"], arcname=row["image"])
            text = tmp_path / "text.json"
            text.write_text(json.dumps({"text": row["text"]}))
            tar.add(text, arcname=Path(row["image"]).with_suffix(".json").name)
    with serve(folder) as server:
        yield server


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_behind_an_address_resume_in_the_shard_in_hand(
    make_run, settings, shard_server, tmp_path, capsys, workers
):
    """Two sources at one address: cuts within shards, and across epochs of the 24 rows."""

    def run(name, signature="old"):
        web = {"name": "web", "path": f"{shard_server.address}/{{000..004}}.tar?signature={signature}"}
        data = {"cache": None, "workers": workers, "shards": str(tmp_path / "shards")}
        data["train"] = [web | {"weight": 2}, web | {"name": "again"}, {"name": "questions", "path": "questions.jsonl"}]
        return make_run(name, **{**settings, "data": data, "train": settings["train"] | {"save_every": 1}})

    whole = run_through(run("whole"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        cut_at(monkeypatch, 4)
        with pytest.raises(CutError):
            Trainer(run("pieces")).fit()
    in_hand = list((tmp_path / "shards").rglob("*.tar"))
    assert in_hand
    for shard in in_hand:
        shard.unlink()
    shard_server.asked.clear()
    pieces = run_through(run("pieces", signature="renewed"), cuts=(4,))
    said = capsys.readouterr().err.replace("\n", "")
    for asked, name, epoch in zip(shard_server.asked, ("web", "again"), (1, 0), strict=False):
        assert f"in epoch {epoch} ({shard_server.address}/{asked})" in said.rpartition(f"source '{name}'")[2]
    folders = {note.parent for note in (tmp_path / "shards").rglob("*.rows")}
    assert len(folders) == 4, "sources and runs would delete what another has in hand"
    assert not list((tmp_path / "shards").rglob("*.tar")), "nothing is left at the end"
    assert pieces[0] == whole[0]
    assert whole[1]
    for ours, theirs in zip(pieces[1:3], whole[1:3], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
