"""Ablations: rows that change one thing, runs that are not run again, intervals as worked by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from eval import registry, run
from eval.core.statistics import over_seeds
from eval.core.suite import read_suite
from eval.studies import ablations
from eval.studies.ablations import TestSet as AblationSet
from eval.studies.ablations import folder_name, is_clear, score, summarise
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig, load_preset
from vljepa.errors import ConfigError
from vljepa.training.same_run import _leaves
from vljepa.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[3]
CHANGES: dict[str, dict[str, Any]] = {
    "InfoNCE": {},
    "sigmoid": {"objective.name": "sigmoid"},
    "cosine": {"objective.name": "cosine"},
    "global alignment": {"objective.alignment": 1.0},
    "SIGReg without negatives": {"objective.name": "cosine", "objective.sigreg": 0.05},
    "Y-Encoder at 0.05": {"model.y_encoder.target": "trained", "model.y_encoder.head": "linear"},
    "causal": {"model.predictor.attention": "causal"},
    "random predictor": {"model.predictor.init": "random"},
}


def changed(base: RunConfig, run: RunConfig) -> dict[str, Any]:
    before = dict(_leaves(base.model_dump(mode="json")))
    return {key: value for key, value in _leaves(run.model_dump(mode="json")) if before.get(key) != value}


def test_every_row_changes_what_its_name_says_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    settings = read_suite("ablations").settings
    places = {"data": Path("d"), "cache": Path("c"), "output": Path("o")}

    def config(row: str, seed: int = 0) -> RunConfig:
        return ablations.run_config(settings["recipe"], settings["rows"][row], seed, **places)

    base = config("InfoNCE")
    assert (base.objective.name, base.optim.y_encoder_lr_scale) == ("infonce", 0.05)
    assert (base.model.y_encoder.target, base.model.y_encoder.head) == ("frozen", "identity")
    assert {row: changed(base, config(row)) for row in settings["rows"]} == CHANGES
    assert changed(base, config("sigmoid", 2)) == CHANGES["sigmoid"] | {"train.seed": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default": "none"}, "there is no row 'none'"),
        ({"only": ["plane"]}, "there is no row 'plane'"),
        ({"seeds": [0]}, "no interval"),
        ({"rows": {"a b": [], "A-b": []}, "default": "a b"}, "one name"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ablations.check(**{"seeds": [0, 1], "default": "plain", "rows": {"plain": []}} | change)


@pytest.fixture
def small_suite(
    make_run: Callable[..., RunConfig], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Arguments of a suite of two rows and two seeds of two steps on the toy model."""
    base = make_run(train={"steps": 2, "eval_every": 2}).model_dump(mode="json")
    base["model"]["residual"] = None
    base["data"]["validation"] = []
    for source in base["data"]["train"]:
        source["root"], source["path"] = base["data"]["root"], str(Path(base["data"]["root"]) / source["path"])
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    rows = {"plain": [], "cosine": ["objective.name=cosine"]}
    monkeypatch.setattr("eval.core.suite.OWN_DATA", ())
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mini").symlink_to(prepared / "data")
    settings = [f"recipe={tmp_path / 'base.yaml'}", "seeds=[0,1]", "default=plain", f"rows={json.dumps(rows)}"]
    places = ["--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--cache", str(tmp_path / "cache")]
    return ["ablations", *settings, *places, "--results", str(tmp_path / "results"), "--again"]


def test_what_is_done_is_not_done_again(
    small_suite: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained, scored = [], []
    build = Trainer._build
    monkeypatch.setattr(Trainer, "_build", lambda self, *a: trained.append(self.folder.parts[-2:]) or build(self, *a))
    monkeypatch.setattr(ablations, "score", lambda *a, **k: scored.append(a[0]) or score(*a, **k))
    part = [*small_suite, "only=[cosine]", "seeds=[1]"]
    assert run.main(part) == run.DONE
    assert (trained, len(scored)) == ([("cosine", "1")], 1)
    assert "cosine, seed 1" in capsys.readouterr().out
    assert run.main(small_suite) == run.DONE
    assert trained[1:] == [("plain", "0"), ("plain", "1"), ("cosine", "0")]
    first = json.loads((tmp_path / "results/ablations.json").read_text())
    assert run.main(small_suite) == run.DONE
    assert len(trained) == len(scored) == 4
    assert json.loads((tmp_path / "results/ablations.json").read_text())["rows"] == first["rows"]
    # negative control: what is lost is made again, here the score and then the other split's
    (tmp_path / "work/ablations/plain/0/test.json").unlink()
    assert run.main(small_suite) == run.DONE
    assert (len(trained), len(scored)) == (4, 5)
    assert run.main([*small_suite, "split=validation", "only=[plain]", "seeds=[0]"]) == run.DONE
    assert (len(trained), len(scored)) == (4, 6)
    # and what was measured by other code is measured again
    monkeypatch.setattr("eval.core.cache.code_digest", lambda module: "changed")
    assert run.main(part) == run.DONE
    assert (len(trained), len(scored)) == (4, 7)


def test_a_collapsed_model_scores_nothing_and_is_seen(prepared: Path, tmp_path: Path) -> None:
    config = load_preset("toy")
    config.residual = None
    model = VLJEPA.from_parts(config)
    test = AblationSet(prepared / "data", "test")

    def scored(name: str) -> dict[str, Any]:
        model.save_pretrained(tmp_path / name)
        return score(str(tmp_path / name), test)

    lively = scored("lively")
    assert len(lively["hits"]["emoji"]) == len(lively["hits"]["photos"]) == len(lively["hits"]["questions"]) == 12
    for column in ("emoji", "photos", "questions"):
        hits = list(lively["hits"][column].values())
        assert lively["columns"][column] == pytest.approx(sum(hits) / len(hits))
    assert lively["panel"]["rank"] > 1.5
    with torch.no_grad():
        model.predictor.head.weight.zero_()
    dead = scored("dead")
    assert dead["columns"]["emoji"] < 1 / 12
    assert dead["columns"]["photos"] < 1 / 12
    assert dead["panel"]["rank"] == pytest.approx(1, abs=1e-3)
    assert dead["panel"]["matched"] == pytest.approx(0, abs=1e-6)
    assert VLJEPAProcessor.from_pretrained(tmp_path / "dead")


def one_run(row: str, seed: int, share: float) -> dict[str, Any]:
    hits = {"a": share, "b": 0.0}
    columns = dict.fromkeys(("emoji", "photos", "questions"), share / 2)
    panel = {"rank": 10.0 + seed, "target_rank": 20.0, "matched": 0.5, "uniformity": -2.0}
    run = {"row": row, "seed": seed, "changes": ["a=1"] if row == "new" else [], "commit": "c" * 40, "steps": 5}
    return {**run, "batch_size": 4, "columns": columns, "hits": dict.fromkeys(columns, hits), "panel": panel}


def test_intervals_are_those_worked_by_hand() -> None:
    plain = [one_run("plain", seed, share) for seed, share in enumerate((0.2, 0.4, 0.6))]
    new = [one_run("new", seed, share) for seed, share in enumerate((0.4, 0.8, 0.6))]
    rows = summarise([*plain, *new], default="plain")
    # t(0.975, 2) = 4.302653; plain is 0.1, 0.2, 0.3: mean 0.2, deviation 0.1
    half = 4.302653 * 0.1 / math.sqrt(3)
    emoji = rows["plain"]["columns"]["emoji"]
    assert [emoji["mean"], emoji["low"], emoji["high"]] == pytest.approx([0.2, 0.2 - half, 0.2 + half], abs=1e-6)
    # paired: 0.1, 0.2, 0.0: mean 0.1, deviation 0.1; unpaired seeds would give another one
    paired = rows["new"]["minus_default"]["photos"]
    seeds = paired["seeds"]
    assert [seeds["mean"], seeds["low"], seeds["high"]] == pytest.approx([0.1, 0.1 - half, 0.1 + half], abs=1e-6)
    # items: b is 0 in all, a differs by 0.2 on average; a resample has a twice, once or never
    assert [paired["items"][key] for key in ("mean", "low", "high")] == pytest.approx([0.1, 0.0, 0.2], abs=1e-6)
    assert rows["plain"]["panel"]["rank"]["mean"] == 11
    assert "minus_default" not in rows["plain"]
    assert over_seeds([1.0, 1.0])["low"] == 1.0


@pytest.mark.parametrize(
    ("seeds", "items", "clear"),
    [((0.1, 0.3), (0.1, 0.2), True), ((-0.1, 0.3), (0.1, 0.2), False), ((-0.3, -0.1), (-0.2, 0.0), False)],
)
def test_a_difference_is_clear_when_both_intervals_say_so(
    seeds: tuple[float, float], items: tuple[float, float], clear: bool
) -> None:
    ends = {"seeds": seeds, "items": items}
    assert is_clear({of: dict(zip(("low", "high"), both, strict=True)) for of, both in ends.items()}) is clear


def test_the_report_shows_every_row() -> None:
    runs = [one_run(row, seed, 0.4 + 0.1 * seed) for row in ("plain", "new") for seed in (0, 1)]
    result = {"rows": summarise(runs, default="plain"), "runs": runs, "default": "plain", "recipe": "r.yaml"}
    result |= {"command": "c", "split": "test", "date": "d", "hardware": "h", "protocol": {"emoji": "text"}}
    text = registry.tables("ablations", result)
    assert "| new | `a=1` | 22.5 [-9.3, 54.3] |" in text  # 20 and 25: 22.5 -+ 12.706 * 3.5355 / sqrt(2)
    assert "| new | +0.0 [+0.0, +0.0] [+0.0, +0.0] |" in text
    assert "| plain | 10.50 | 20.00 | 0.50 | -2.00 |" in text
    assert ablations.plots(result)["ablations.png"].startswith(b"\x89PNG")
    assert folder_name("Y-Encoder at 0.05") == "y_encoder_at_0_05"
