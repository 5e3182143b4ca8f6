import re
import subprocess
import sys

import pytest

from vljepa import __version__
from vljepa.cli import main as main_module

HEAVY = ("torch", "transformers", "torchvision", "timm", "open_clip", "datasets", "peft", "accelerate", "sklearn",
         "fastapi", "uvicorn", "starlette")  # fmt: skip


def modules_after(code):
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('modules', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import vljepa; dir(vljepa)",
        "from vljepa.cli.main import main; main(['--help'])",
        "from vljepa.cli.main import main; main(['classify', '--help'])",
        "from vljepa.cli.main import main; main(['serve', '--help'])",
        "from vljepa.cli.main import main; main(['clasify'])",
    ],
)
def test_heavy_libraries_are_not_imported(code):
    assert not modules_after(code).intersection(HEAVY)


def test_the_check_above_sees_imports():
    assert "rich" in modules_after("from vljepa.cli.main import main; main(['--help'])")
    assert "pydantic" in modules_after("import vljepa; vljepa.VLJEPAConfig")


def test_version(run):
    assert run("--version") == (0, f"vljepa {__version__}\n", "")


@pytest.mark.parametrize("verb", ["classify", "ask", "index", "search", "serve", "train", "recipe", "assets", "doctor"])
def test_every_verb_is_there_and_has_help(run, verb):
    assert verb in run("--help")[1]
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert "Usage" in out


def test_without_words_the_help_is_shown(run):
    code, out, err = run()

    assert code == 2
    assert "Usage" in out
    assert err == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clasify"], r"'clasify'.*`vljepa --help`"),
        (["classify", "x.jpg"], r"'--labels'.*`vljepa classify --help`"),
        (["classify", "x.jpg", "--labels", "a,b", "--top-k", "0"], r"'--top-k'"),
        (["search", "x.index"], "QUERY"),
        (["index", "x", "-o", "y", "--wrong"], "--wrong"),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(fails, words, message):
    assert re.search(message, fails(*words))


def test_interrupted(run, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vljepa.inference.images.expand", interrupt)
    assert run("classify", "x.jpg", "--labels", "a,b")[0] == 130


def test_a_defect_of_ours_is_not_hidden(monkeypatch):
    def crash(*_, **__):
        raise AssertionError("a bug")

    monkeypatch.setattr("vljepa.inference.images.expand", crash)
    with pytest.raises(AssertionError, match="a bug"):
        main_module.main(["classify", "x.jpg", "--labels", "a,b"])
