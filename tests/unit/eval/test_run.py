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

from eval import registry, run
from eval.core.provenance import ROOT, code_digest, code_of, result_name
from eval.core.result import Context, Model, Result, suite_key
from eval.core.suite import SUITES, read_suite, suite_names
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
    loaded.__set_name__(Model, "embedder")
    monkeypatch.setattr(Model, "embedder", loaded)
    monkeypatch.setattr("eval.core.suite.OWN_DATA", (tmp_path / "none",))
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
        inspect.signature(registry.task(suite.task)).bind("context", **suite.settings)
        if suite.task == "questions":
            columns = {key: value for key, value in suite.settings.items() if key not in ("format", "scoring")}
            inspect.signature(READERS[suite.settings["format"]]).bind("found", **columns)
            assert suite.settings["scoring"] in SCORINGS
    assert {path.stem for path in SUITES.glob("*.yaml")} == set(names)
    assert {read_suite(name).task for name in names} == set(registry.TASKS), "every task is reachable"


def test_every_stored_result_can_be_made_again_and_every_benchmark_is_there() -> None:
    stored = {path.stem.partition(".")[0] for path in (ROOT / "eval" / "results").glob("*.json")}
    assert stored - {"infonce_32k"} <= {*suite_names(), *registry.BENCHES}
    for name in registry.BENCHES:
        assert inspect.signature(registry.bench(name).measure)


def test_a_result_says_everything_about_itself(folder: Path) -> None:
    assert measure(folder, "own_retrieval") == run.DONE
    result = written(folder)
    asked_for = (
        "format", "suite", "task", "title", "protocol", "metrics", "source", "version", "licence", "split", "pool",
        "rows", "candidates", "prompt", "frames", "seed", "ties", "command", "commit", "date", "hardware", "versions",
        "model", "data", "key", "overlap", "skipped", "settings", "seconds",
    )  # fmt: skip
    assert not [name for name in asked_for if name not in result]
    assert result["metrics"]["image_to_text"]["r1"]["mean"] == 1.0
    assert {"low", "high", "items"} < result["metrics"]["image_to_text"]["r1"].keys()
    assert result["pool"] == [{"items": 3, "texts": 3}]
    assert result["command"].startswith("python eval/run.py")
    assert len(result["commit"]) == 40


def test_a_result_that_lacks_something_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="'rows' and 'pool'"):
        Result()  # type: ignore[call-arg]


def test_a_setting_can_be_changed_and_belongs_to_the_key(folder: Path) -> None:
    measure(folder, "own_retrieval")
    first = written(folder)
    assert measure(folder, "own_retrieval", "frames=1") == run.DONE
    assert Counted.made == 2
    assert written(folder)["settings"] == {"own": True, "frames": 1}
    assert written(folder)["key"]["suite"] != first["key"]["suite"]
    changed = run.with_settings(read_suite("selective"), {"streams.seconds": "60", "rates": "[1.0]"})
    assert (changed.settings["streams"]["seconds"], changed.settings["rates"]) == (60, [1.0])
    assert changed.settings["streams"]["seeds"] == [0, 1, 2]
    assert read_suite("selective").settings["streams"]["seconds"] == 360


def test_benchmarks_are_behind_the_same_door(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["--results", str(folder / "results")]
    assert run.main(["bench.segmentation", "rows=64", "width=8", "repeats=1", *results]) == run.DONE
    found = json.loads((folder / "results" / "segmentation.json").read_text())
    assert (found["rows"], found["width"], len(found["commit"])) == (64, 8, 40)
    assert found["ratio"] > 0
    with pytest.raises(ConfigError, match="use one of backends, duplicates, index, infonce, kill"):
        run._bench("segments", run.parser().parse_args(["bench.segments"]))
    assert "bench.*" not in capsys.readouterr().err
    assert run.main(["list"]) == run.DONE
    assert "bench.*" in capsys.readouterr().out


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
    plain = registry.task

    def broken(context: Any, **settings: Any) -> Result:
        if context.found.suite.name == "coco_retrieval":
            raise ZeroDivisionError("nobody has thought of that")
        result: Result = plain("retrieval")(context, **settings)
        return result

    broken.__module__ = "eval.tasks.retrieval"
    monkeypatch.setattr(registry, "task", lambda name: broken if name == "retrieval" else plain(name))
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
    monkeypatch.setattr("eval.core.cache.code_digest", lambda module: "changed")
    measure(folder, "own_retrieval")
    assert Counted.made == 2
    assert written(folder)["key"] == first["key"] | {"code": "changed"}


def test_the_code_of_a_task_is_all_that_it_imports(tmp_path: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in code_of("eval.tasks.retrieval", root=ROOT)}
    assert {"eval/tasks/retrieval.py", "eval/core/embedding.py", "eval/core/statistics.py", "vljepa/inference/clips.py",
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
        context = Context(found, Model(str(tmp_path / "adapters")))
        return suite_key(context, code="eval.tasks.retrieval")["model"]

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
    assert result_name("pope", "mini") == "pope"
    assert result_name("pope", "runs/mine/best") == "pope.runs_mine_best"


def test_a_result_with_sections_of_its_own_is_kept_and_its_tables_are_printed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, Any]] = []

    def words(context: Any, **settings: Any) -> Result:
        seen.append(settings)
        return Result(rows=1, pool=[{}], prompt="", more={"images": "all of them"})

    words.__module__ = "eval.tasks.words"
    monkeypatch.setattr(registry, "task", lambda name: words)
    monkeypatch.setattr(registry, "tables", lambda task, result: f"{task}: tables of {result['images']}")
    write_json(folder / "data" / "mini" / "summary.json", {"split_seed": 0})
    for _ in range(2):
        assert measure(folder, "captions") == run.DONE
    assert seen == [{"recipe": "recipes/mini_decoder.yaml"}]
    result = json.loads((folder / "results" / "captions.json").read_text())
    assert {"task", "key", "seconds"} < result.keys()
    assert result["overlap"]["looked_at"] is False
    assert capsys.readouterr().out.count("words: tables of all of them") == 2


def test_the_model_s_own_decoder_is_measured() -> None:
    from eval.tasks.words import own_decoder

    [(name, folder)] = own_decoder("mini").items()
    assert (name, Path(folder).is_dir()) == ("scratch", True)


@pytest.mark.assets
def test_the_script_measures_the_shipped_model_from_the_clone_alone(tmp_path: Path) -> None:
    command = [sys.executable, "eval/run.py", "sample_emoji", "--model", "mini", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == run.DONE, done.stderr
    result = json.loads((tmp_path / "sample_emoji.json").read_text())
    assert result["pool"] == [{"items": 60, "texts": 60}]
    assert result["metrics"]["image_to_text"]["r1"]["mean"] > 10 * result["chance"]["image_to_text"]["r1"]
