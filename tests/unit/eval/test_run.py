"""The command: every suite's file, what is skipped, what is computed again, and what a result says."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from eval import run
from eval.harness import result as results
from eval.harness.code import code_digest, code_of
from eval.harness.suite import ROOT, SUITES, read_suite, suite_names
from eval.tasks.questions import SCORINGS
from eval.tasks.questions_files import READERS
from tests.unit.eval.seer import COLOURS, Seer, paint, write_json, write_lines
from vljepa import VLJEPA
from vljepa.checkpoint.adaptation import adapt
from vljepa.configs import AdaptersConfig, load_preset
from vljepa.errors import ConfigError


class Counted(Seer):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        Counted.made += 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data of own_retrieval, and no other data at hand."""
    loaded = cached_property(lambda self: Counted())
    loaded.__set_name__(run.Model, "embedder")
    monkeypatch.setattr(run.Model, "embedder", loaded)
    monkeypatch.setattr("eval.harness.suite.OWN_DATA", (tmp_path / "none",))
    Counted.made = 0
    place = tmp_path / "data" / "own_retrieval"
    rows = [{"image": paint(place / f"{one}.png", one), "text": f"a {one} cat"} for one in COLOURS]
    write_lines(place / "test.jsonl", rows)
    return tmp_path


def measure(folder: Path, suite: str, *more: str) -> int:
    return run.main([suite, "--data", str(folder / "data"), "--results", str(folder / "results"), *more])


def written(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "results" / "own_retrieval.json").read_text())
    return loaded


def test_every_suite_is_whole_and_its_settings_fit_its_task() -> None:
    names = suite_names()
    assert len(names) > 25
    for name in names:
        suite = read_suite(name)
        if suite.task in run.programs():
            inspect.signature(run.programs()[suite.task]).bind("found", "model", "cache", **suite.settings)
            continue
        inspect.signature(run.tasks()[suite.task]).bind("found", "embedder", **suite.settings)
        if suite.task == "questions":
            columns = {key: value for key, value in suite.settings.items() if key not in ("format", "scoring")}
            inspect.signature(READERS[suite.settings["format"]]).bind("found", **columns)
            assert suite.settings["scoring"] in SCORINGS
    assert {path.stem for path in SUITES.glob("*.yaml") if "\ntask:" in path.read_text()} == set(names)


def test_a_result_says_everything_about_itself(folder: Path) -> None:
    assert measure(folder, "own_retrieval") == run.DONE
    result = written(folder)
    assert not [name for name in results.ASKED_FOR if name not in result]
    assert result["metrics"]["image_to_text"]["r1"]["mean"] == 1.0
    assert {"low", "high", "items"} < result["metrics"]["image_to_text"]["r1"].keys()
    assert result["pool"] == [{"items": 3, "texts": 3}]
    assert result["command"].startswith("python eval/run.py")
    assert len(result["commit"]) == 40


def test_a_result_that_lacks_something_is_refused(folder: Path) -> None:
    found = run.find(read_suite("own_retrieval"), [folder / "data"], alone=True)
    with pytest.raises(ValueError, match="lacks metrics, pool"):
        results.assemble(
            {"rows": 1, "prompt": "", "frames": 1, "skipped": 0}, found, model="mini", device="cpu", key={}, overlap={}
        )


def test_what_still_holds_is_not_computed_again_and_what_changed_is(folder: Path) -> None:
    measure(folder, "own_retrieval")
    first = written(folder)
    assert measure(folder, "own_retrieval") == run.DONE
    assert (Counted.made, written(folder)) == (1, first)
    paint(folder / "data" / "own_retrieval" / "more.png", "red")  # a file more
    measure(folder, "own_retrieval")
    assert Counted.made == 2
    assert written(folder)["key"]["data"] != first["key"]["data"]
    assert written(folder)["key"]["model"] == first["key"]["model"]
    measure(folder, "own_retrieval", "--again")
    assert Counted.made == 3


def test_a_half_written_result_is_computed_again(folder: Path) -> None:
    measure(folder, "own_retrieval")
    (folder / "results" / "own_retrieval.json").write_text('{"key":')
    assert measure(folder, "own_retrieval") == run.DONE
    assert written(folder)["metrics"]


def test_all_runs_what_is_there_and_names_what_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(folder, "all") == run.SKIPPED
    assert written(folder)["metrics"]
    said = " ".join(capsys.readouterr().err.split())
    assert "pope: skipped." in said
    assert "coco_pope_random.json" in said
    assert "https://github.com/AoiDragon/POPE" in said
    assert "licence: MIT" in said
    assert "own_" not in said.replace("own_retrieval", "")
    assert "own_retrieval: skipped" not in said


def test_one_wrong_suite_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(folder / "data" / "tallyqa" / "test.json", {})
    assert measure(folder, "all") == run.ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "ended with an error: tallyqa" in said
    assert written(folder)["metrics"]


def test_an_error_of_any_type_ends_one_suite_and_not_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the suites at hand the first in the alphabet is wrong, in a way that nobody has thought of."""
    write_json(folder / "data" / "coco_retrieval" / "captions_val2017.json", {})
    (folder / "data" / "coco_retrieval" / "val2017").mkdir()
    plain = run.tasks()

    def broken(found: Any, embedder: Any, **settings: Any) -> dict[str, Any]:
        if found.suite.name == "coco_retrieval":
            raise ZeroDivisionError("nobody has thought of that")
        return plain["retrieval"](found, embedder, **settings)

    broken.__module__ = "eval.tasks.retrieval"
    monkeypatch.setattr(run, "tasks", lambda: plain | {"retrieval": broken})
    assert measure(folder, "all") == run.ERROR
    said = " ".join(capsys.readouterr().err.split())
    assert "ZeroDivisionError: nobody has thought of that" in said
    assert "ended with an error: coco_retrieval" in said
    assert written(folder)["metrics"]
    with pytest.raises(ZeroDivisionError):
        measure(folder, "coco_retrieval")


def test_the_figures_are_printed_and_not_only_where_they_are(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # measured, and kept
        measure(folder, "own_retrieval")
        said = capsys.readouterr().out
        assert "Your own retrieval: mini, 3 rows" in said
        assert "| image to text | 100.0 [100.0, 100.0] |" in said


def test_a_result_does_not_survive_a_change_of_the_code_that_measured_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(folder, "own_retrieval")
    first = written(folder)
    monkeypatch.setattr(results, "code_digest", lambda module, *, root: "changed")
    measure(folder, "own_retrieval")
    assert Counted.made == 2
    assert written(folder)["key"] == first["key"] | {"code": "changed"}


def test_the_code_of_a_task_is_all_that_it_imports(tmp_path: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in code_of("eval.tasks.retrieval", root=ROOT)}
    assert {"eval/tasks/retrieval.py", "eval/harness/seeing.py", "eval/mini/bootstrap.py", "vljepa/inference/clips.py",
            "vljepa/metrics/retrieval.py", "vljepa/processing/image.py"} <= files  # fmt: skip
    assert "eval/tasks/questions.py" not in files
    assert not [name for name in files if name.startswith("vljepa/cli")]
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "task.py").write_text("def measure():\n    from eval import helper\n")
    (tmp_path / "eval" / "helper.py").write_text("ONE = 1\n")
    before = code_digest("eval.task", root=tmp_path)
    (tmp_path / "eval" / "helper.py").write_text("ONE = 2\n")
    assert code_digest("eval.task", root=tmp_path) != before


def test_a_folder_of_adapters_has_a_key_that_follows_them_and_their_base(tmp_path: Path, folder: Path) -> None:
    base = tmp_path / "base"
    model = VLJEPA.from_parts(load_preset("toy"))
    model.save_pretrained(base)
    adapt(model, AdaptersConfig(rank=2, alpha=4), base=str(base), seed=0)
    model.save_pretrained(tmp_path / "adapters")
    found = run.find(read_suite("own_retrieval"), [folder / "data"], alone=True)

    def key() -> str:
        return results.key_of(found, str(tmp_path / "adapters"), code="eval.tasks.retrieval")["model"]

    first = key()
    assert first == key()
    weights = tmp_path / "adapters" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert key() != first
    weights.write_bytes(whole)
    assert key() == first
    (base / "model.safetensors").write_bytes(b"another")
    assert key() != first


def test_a_suite_or_folder_that_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["pop"]) == run.ERROR
    assert "no suite 'pop'" in capsys.readouterr().err
    assert run.main(["pope", "--data", str(folder / "nowhere")]) == run.ERROR
    assert "no folder" in capsys.readouterr().err
    assert measure(folder, "pope") == run.SKIPPED
    with pytest.raises(ConfigError, match="use one of: all"):
        read_suite("../results/mini")


def test_results_of_other_models_have_files_of_their_own() -> None:
    suite = read_suite("pope")
    assert run.result_name(suite, "mini") == "pope.json"
    assert run.result_name(suite, "runs/mine/best") == "pope.runs_mine_best.json"


def test_an_evaluation_with_its_own_format_is_run_and_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.mini.__main__ import parser

    seen: list[dict[str, Any]] = []

    def evaluate(given: Any) -> dict[str, Any]:
        seen.append(vars(given))
        return {"task": "all of it"}

    monkeypatch.setattr("eval.mini.__main__.evaluate", evaluate)
    monkeypatch.setattr(run, "own_reports", lambda: {"mini": lambda result: f"tables of {result['task']}"})
    write_json(folder / "data" / "mini" / "summary.json", {})
    write_lines(folder / "data" / "coco_photos" / "photos.jsonl", [])
    for _ in range(2):
        assert measure(folder, "mini_baselines") == run.DONE
    [given] = seen
    asked = vars(parser().parse_args(["--data", "d", "--models", "m", "--photos", "p"]))
    assert given.keys() == asked.keys() - {"output"}
    assert (given["data"], given["photos"]) == ([folder / "data" / "mini"], folder / "data" / "coco_photos")
    result = json.loads((folder / "results" / "mini_baselines.json").read_text())
    assert {"task", "key", "seconds"} < result.keys()
    assert result["overlap"]["looked_at"] is False
    assert capsys.readouterr().out.count("tables of all of it") == 2


def test_the_model_s_own_decoder_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr("eval.captions.measure.measure", lambda **given: seen.append(given) or {"task": "words"})
    monkeypatch.setattr(run, "own_reports", lambda: {"captions": lambda result: ""})
    write_json(folder / "data" / "mini" / "summary.json", {})
    assert measure(folder, "captions") == run.DONE
    [given] = seen
    assert list(given["decoders"]) == ["scratch"]
    assert Path(given["decoders"]["scratch"]).is_dir()
    assert given["recipe"].is_file()


@pytest.mark.assets
def test_the_script_measures_the_shipped_model_from_the_clone_alone(tmp_path: Path) -> None:
    command = [sys.executable, "eval/run.py", "sample_emoji", "--model", "mini", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == run.DONE, done.stderr
    result = json.loads((tmp_path / "sample_emoji.json").read_text())
    assert result["pool"] == [{"items": 60, "texts": 60}]
    assert result["metrics"]["image_to_text"]["r1"]["mean"] > 10 * result["chance"]["image_to_text"]["r1"]
