"""Every verdict of the doctor, on findings that we make up, and its eyes on ones that we build."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vljepa.cli import doctor
from vljepa.cli.doctor import (
    Check,
    Probe,
    check_assets,
    check_cache,
    check_gpu,
    check_library,
    check_packages,
    check_pip,
    check_python,
    check_threads,
    check_torch,
    required_versions,
    run_probe,
)

NMS = "RuntimeError: operator torchvision::nms does not exist"


def run(monkeypatch, checks, *words):
    monkeypatch.setattr(doctor, "examine", lambda: checks)
    app = typer.Typer()
    app.command()(doctor.doctor)
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(("version", "status"), [((3, 10, 9), "broken"), ((3, 11, 0), "ok"), ((3, 14, 1), "ok")])
def test_python(version, status):
    assert check_python(version).status == status


def test_torch_that_loads_is_ok():
    assert check_torch("2.15.0", "0.29.2", {}).status == "ok"
    assert check_torch("2.15.0", "0.29.2", {"timm": "ImportError: no"}).status == "ok"


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"torchvision": NMS}, "do not fit together"),
        ({"torchvision": "RuntimeError: compiled with different CUDA major versions"}, "do not fit together"),
        ({"torch": "OSError: libcudart.so: cannot open"}, "do not import"),
        ({"torchvision": "ModuleNotFoundError: No module named 'torchvision'"}, "do not import"),
    ],
)
def test_torch_that_does_not_load_names_both_packages(errors, said):
    check = check_torch("2.15.0", "0.29.2", errors)
    assert check.status == "broken"
    assert said in check.detail
    assert "pip install --force-reinstall torch torchvision" in check.fix


@pytest.mark.parametrize(
    ("version", "errors", "said"),
    [
        (None, {}, "timm is not installed"),
        ("1.0.3", {}, "timm 1.0.3 is older than 1.0.20"),
        ("1.0.20", {"timm": "ImportError: no"}, r"timm 1.0.20 does not import (ImportError: no)"),
    ],
)
def test_packages_that_are_missing_old_or_broken(version, errors, said):
    check = check_packages({"timm": version, "rich": "14.0"}, {"timm": ">=1.0.20", "rich": ">=13.7"}, errors)
    assert check.status == "broken"
    assert said in check.detail
    assert check.fix == "run `pip install --upgrade 'timm>=1.0.20'`."


def test_packages_that_are_new_enough():
    installed = {"timm": "1.0.20", "torch": "2.15.0+cpu", "pyyaml": "6.0.3.dev0"}
    minima = {"timm": ">=1.0.20", "torch": ">=2.11", "pyyaml": ">=6.0.2"}
    assert check_packages(installed, minima, {}).status == "ok"
    assert check_packages(installed, minima, {"torchvision": NMS}).status == "ok"  # has its own line
    assert check_packages(installed, minima, {"yaml": "ImportError: no"}).status == "broken"


def test_packages_of_a_distribution_that_is_not_installed():
    assert check_packages({}, {}, {}).status == "broken"


@pytest.mark.parametrize(
    ("present", "missing", "status"),
    [(True, ["a"], "ok"), (False, [], "note"), (False, ["a"], "broken")],
)
def test_pip_matters_while_something_is_missing(present, missing, status):
    check = check_pip(present, missing)
    assert check.status == status
    assert ("ensurepip" in check.fix) == (not present)


@pytest.mark.parametrize(
    ("missing", "damaged", "status", "fix"),
    [
        ([], {"a": []}, "ok", ""),
        (["b"], {"a": []}, "note", "run `vljepa assets fetch`."),
        (["b"], {"a": ["model.safetensors"]}, "broken", "run `vljepa assets fetch --force a`."),
    ],
)
def test_assets(missing, damaged, status, fix):
    check = check_assets(missing, damaged)
    assert (check.status, check.fix) == (status, fix)


@pytest.mark.parametrize(
    ("writable", "free", "status"), [(True, 2000, "ok"), (True, 999, "broken"), (False, 2000, "broken")]
)
def test_cache(writable, free, status):
    check = check_cache(Path("/somewhere"), writable, free, 1000)
    assert check.status == status
    assert ("VLJEPA_HOME" in check.fix) == (status == "broken")


def test_no_gpu_is_only_a_note():
    assert check_gpu(None).status == "note"
    assert "bf16 yes" in check_gpu({"name": "H200", "bf16": True}).detail


@pytest.mark.parametrize(
    ("threads", "cores", "status"), [(8, 8, "ok"), (4, 8, "ok"), (1, 8, "note"), (None, 8, "note")]
)
def test_threads(threads, cores, status):
    assert check_threads(threads, cores).status == status


def test_how_large_an_index_goes():
    check = check_library(24 << 30, 61_000_000_000)
    assert check.status == "ok"
    assert "room on this disk for 35.0 million" in check.detail
    assert "in 24 GiB of memory (millions): HNSW32 to 3.5, HNSW32,SQ8 to 9.7, IVF and PQ beyond" in check.detail
    assert "10 million take 17 GB (IVF16384,PQ96), 3 days at 40 a second, 1.4 hours at 2,000; " in check.detail
    assert "100 million take 174 GB, more than is free (IVF32768,PQ96), 29 days" in check.detail
    assert "10 million take 35 GB (HNSW32)," in check_library(128 << 30, 10**12).detail


def test_minima_come_from_the_core_requirements_only():
    lines = ["torch>=2.11", "open-clip-torch>=3.0", "av<19,>=18", "peft>=1; extra == 'video'"]
    assert required_versions(lines) == {"torch": ">=2.11", "open-clip-torch": ">=3.0", "av": ">=18,<19"}


def test_probe_recognises_a_torchvision_that_does_not_fit(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = run_probe(["json", "torchvision"])
    assert probe.errors == {"torchvision": NMS}
    assert probe.threads is not None
    assert "do not fit together" in check_torch("2.15.0", "0.29.2", probe.errors).detail


def test_probe_survives_an_interpreter_that_dies(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("import os; os._exit(139)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    probe = run_probe(["torchvision"])
    assert probe == Probe({"torchvision": "the interpreter died with code 139: nothing was said"}, None, None)


def test_probe_that_hangs_is_ended(tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_PROBE_SECONDS", 0.5)
    assert "did not finish" in run_probe(["torchvision"]).errors["torchvision"]


def test_healthy_machine_exits_with_0_and_prints_a_line_per_check(monkeypatch):
    result = run(monkeypatch, [Check("python", "ok", "3.11."), Check("device", "note", "no GPU [at all].")])
    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [["ok", "python"], ["note", "device"]]
    assert "[at all]" in result.stdout


def test_broken_machine_exits_with_2_and_says_the_fix(monkeypatch):
    result = run(monkeypatch, [Check("pip", "broken", "missing.", "install it.")])
    assert result.exit_code == 2
    assert "Fix: install it." in result.stdout


def test_json(monkeypatch):
    result = run(monkeypatch, [Check("pip", "broken", "missing.", "install it.")], "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == [
        {"name": "pip", "status": "broken", "detail": "missing.", "fix": "install it."}
    ]


def test_examine_looks_at_everything(monkeypatch, tmp_path):
    monkeypatch.setenv("VLJEPA_HOME", str(tmp_path / "not" / "there"))
    monkeypatch.setattr(doctor, "run_probe", lambda modules: Probe({}, None, 2))
    checks = {check.name: check for check in doctor.examine()}
    assert list(checks) == ["python", "torch", "packages", "pip", "assets", "cache", "device", "threads", "library"]
    assert checks["assets"].status == "note"
    assert "efficientnet-lite0" in checks["assets"].detail
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    ("version", "errors", "said"),
    [
        ("17.1", {}, "av 17.1 is older than 18"),
        ("19.0.0", {}, "av 19.0.0 is not below 19"),
        ("18.1", {"av": "ImportError: libavcodec.so"}, "av 18.1 does not import (ImportError: libavcodec.so)"),
        (None, {}, "av is not installed"),
    ],
)
def test_pyav_is_checked_with_both_its_bounds(version, errors, said):
    check = check_packages({"av": version}, {"av": ">=18,<19"}, errors)
    assert check.status == "broken"
    assert said in check.detail
    assert check.fix == "run `pip install --upgrade 'av>=18,<19'`."
    assert check_packages({"av": "18.1.0"}, {"av": ">=18,<19"}, {}).status == "ok"


def test_no_core_requirement_of_ours_is_passed_over():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert len(required_versions(project["dependencies"])) == len(project["dependencies"])
    assert required_versions(project["dependencies"])["av"] == ">=18,<19"
