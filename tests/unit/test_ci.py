"""CI runs the command that the README names, and its checks of imports bite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def readme_command(folder: Path, readme: str) -> subprocess.CompletedProcess[str]:
    (folder / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "readme_command.py", folder / ".ci")
    (folder / "README.md").write_text(readme, encoding="utf-8")
    script = str(folder / ".ci" / "readme_command.py")
    return subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)


def test_ci_runs_the_tests_as_the_readme_says(tmp_path: Path) -> None:
    done = readme_command(tmp_path, (ROOT / "README.md").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert "pytest -n 2" in done.stdout


BLOCK = "```bash not-run: .ci/run runs this\npytest -n 2\n```\n"


@pytest.mark.parametrize("readme", ["# No command\n", BLOCK + BLOCK, BLOCK.replace(" not-run: .ci/run runs this", "")])
def test_a_readme_without_exactly_one_such_command_fails(readme: str, tmp_path: Path) -> None:
    done = readme_command(tmp_path, readme)
    assert done.returncode != 0
    assert "code blocks that .ci/run runs, expected one" in done.stderr
    assert done.stdout == ""


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports_command as c; c()"]
    return subprocess.run([*command, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


PLANTED = {
    "upwards": ("vljepa/configs/part.py", "from vljepa.training import trainer"),
    "files in a model": ("vljepa/models/pooling.py", "import yaml"),
    "a library in a metric": ("vljepa/metrics/retrieval.py", "import transformers"),
    "upwards in the evaluations": ("eval/core/cache.py", "import eval.tasks.order"),
    "a circle in the evaluations": ("eval/tasks/made/curves.py", "import eval.tasks.selective"),
    "an evaluation in the product": ("vljepa/inference/embed.py", "import eval.core.cache"),
}


@pytest.mark.parametrize("plant", [None, *PLANTED])
def test_a_planted_import_breaks_a_contract(plant: str | None, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "pretrained", "results")
    for package in ("vljepa", "eval"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if plant is not None:
        name, line = PLANTED[plant]
        with (tmp_path / name).open("a", encoding="utf-8") as module:
            module.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode == (0 if plant is None else 1), done.stdout + done.stderr
    assert ("BROKEN" in done.stdout) == (plant is not None)
