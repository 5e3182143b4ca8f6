"""Every python, console and bash snippet of the README and the manual works as it stands."""

import shutil
from pathlib import Path

import pytest

from tests.e2e import snippets

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


@pytest.mark.assets
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_every_snippet_works(page, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for folder in ("examples", "recipes"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    snippets.run(page, tmp_path)


def write(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    return page


def test_snippets_run_in_order_in_one_folder(tmp_path):
    page = write(
        tmp_path,
        "```bash\necho 41 > number\n```\n"
        "- in a list:\n\n  ```python\n  from pathlib import Path\n\n  Path('number').write_text('42')\n  ```\n"
        "```console\n$ test $(cat number) = 42\nwhat it prints\n$ echo done > end\ndone\n```\n"
        '```json\n{"shown": true}\n```\n'
        "```bash not-run: needs the network\nexit 1\n```\n",
    )

    assert snippets.run(page, tmp_path) == 3
    assert (tmp_path / "end").read_text() == "done\n"


@pytest.mark.parametrize(
    ("fence", "message"),
    [
        ("```python\nassert 1 == 2\n```", "page.md:3: .*AssertionError"),
        ("```python\nfrom vljepa import Indexx\n```", "Indexx"),
        ("```python\nraise SystemExit(1)\n```", "SystemExit"),
        ("```bash\nfalse\ntrue\n```", "exit code 1"),
        ("```bash\nfalse | true\n```", "exit code 1"),
        ("```console\n$ vljepa no-such-verb\n$ true\n```", "no-such-verb"),
        ("```console\n$ vljepa --version\n$ vljepa ask 'no such file' what\n```", "exit code 2 .*no such file"),
        ("```console\nvljepa --version\n```", "without a `\\$ ` line"),
        ("```console\n$ true\n", "not closed"),
        ("```\n$ true\n```", "a fence of 'nothing'"),
        ("```sh\ntrue\n```", "a fence of 'sh'"),
        ("```bash not-run\nfalse\n```", "not-run: REASON"),
        ("```bash not-run:\nfalse\n```", "not-run: REASON"),
        ("```bash skip: because\nfalse\n```", "not-run: REASON"),
    ],
)
def test_a_bad_snippet_is_caught(tmp_path, fence, message):
    page = write(tmp_path, f"# Title\n\n{fence}\n")

    with pytest.raises(snippets.SnippetError, match=f"(?s){message}"):
        snippets.run(page, tmp_path)


def test_python_snippets_do_not_lean_on_each_other(tmp_path):
    page = write(tmp_path, "```python\nx = 1\n```\n```python\nprint(x)\n```\n")

    with pytest.raises(snippets.SnippetError, match="NameError"):
        snippets.run(page, tmp_path)
