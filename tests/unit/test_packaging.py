"""What a wheel holds, built as pip builds it."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling import build

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy of what a build reads; hatchling builds in the working directory."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("vljepa", "recipes", "tests/unit"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    return folder


def wheel_names(clone: Path, out: Path) -> set[str]:
    assert Path.cwd() == clone
    with zipfile.ZipFile(out / build.build_wheel(str(out))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_what_the_package_reads_and_no_more(clone: Path, tmp_path: Path) -> None:
    names = wheel_names(clone, tmp_path)
    presets = {f"vljepa/configs/presets/{file.name}" for file in (ROOT / "vljepa/configs/presets").glob("*.yaml")}
    assert presets
    wanted = {"vljepa/recipes/mini.yaml", "vljepa/py.typed", "vljepa/pretrained/mini/README.md"}
    wanted |= {"vljepa/inference/stream_report.html"}
    assert wanted | presets <= names
    assert not [name for name in names if name.startswith("vljepa/recipes/mini/")], "they need a clone"
    assert not [name for name in names if not name.startswith(("vljepa/", "vljepa_torch-"))]


def test_every_recipe_that_stands_alone_is_in_the_wheel(clone: Path, tmp_path: Path) -> None:
    """pyproject names them one by one, so a new one is easily forgotten."""
    names = wheel_names(clone, tmp_path)
    folder = ROOT / "recipes"
    files = [*folder.glob("*.yaml"), *(folder / "accelerate").glob("*.yaml")]
    recipes = {f"vljepa/recipes/{file.relative_to(folder).as_posix()}" for file in files}
    assert recipes == {name for name in names if name.startswith("vljepa/recipes/")}


def test_a_missing_recipe_is_an_error_of_the_build(clone: Path, tmp_path: Path) -> None:
    (clone / "recipes" / "mini.yaml").unlink()
    with pytest.raises(FileNotFoundError, match=r"mini\.yaml"):
        build.build_wheel(os.fspath(tmp_path))


def test_the_source_distribution_builds_the_same_wheel(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = wheel_names(clone, tmp_path)
    with tarfile.open(tmp_path / build.build_sdist(str(tmp_path))) as source:
        names = source.getnames()
        source.extractall(tmp_path / "sdist", filter="data")
    [top] = (tmp_path / "sdist").iterdir()
    assert f"{top.name}/recipes/mini/build.py" in names
    assert f"{top.name}/tests/unit/test_packaging.py" in names
    monkeypatch.chdir(top)
    (tmp_path / "again").mkdir()
    assert wheel_names(top, tmp_path / "again") == direct
