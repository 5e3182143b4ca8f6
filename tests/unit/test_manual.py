"""The manual: links lead somewhere, every page has its place, the reference is of this code, the site builds."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def links(text: str) -> list[str]:
    """Targets of links and images outside of code, without addresses."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [one.partition("#")[0] for one in found if not re.match(r"[a-z]+:|#", one)]


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [one for one in links(page.read_text(encoding="utf-8")) if not (page.parent / one).exists()] == []


def test_a_link_to_nowhere_is_found() -> None:
    assert links("a [b](nowhere.md#c) ![d](e.png) `[f](g)` [h](https://i)") == ["nowhere.md", "e.png"]


def unknown(text: str) -> list[str]:
    """Files, classes, constants and functions in code marks that are nowhere in the repository."""
    sources = [file for top in ("vljepa", "tests", "eval", "docs") for file in (ROOT / top).rglob("*.py")]
    files = [f"/{file.relative_to(ROOT)}" for file in [*sources, *PAGES, *ROOT.glob("*.*"), *ROOT.glob("eval/*.md")]]
    words = set(re.findall(r"\w+", " ".join(file.read_text(encoding="utf-8") for file in sources)))
    marks = re.findall(r"`([\w/.-]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    named = [one for one in marks if re.search(r"\.(?:py|md|toml)$", one)]
    lost = [one for one in named if not any(file.endswith(f"/{one}") for file in files)]
    identifiers = [one for one in marks if one not in named and re.fullmatch(r"[\w.]+", one)]
    return lost + [one for one in identifiers if not words.issuperset(one.split("."))]


def test_what_contributing_names_is_there() -> None:
    assert unknown((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []
    gone = f"hooks{1}"
    assert unknown(f"`pixels.fitting` `a.py` `backends/timm.py` `Method.{gone}`") == ["a.py", f"Method.{gone}"]


def test_every_page_has_its_place_in_the_site() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    assert sorted(places(nav)) == sorted(str(page.relative_to(DOCS)) for page in PAGES)


def places(nav: Any) -> list[str]:
    """Files of a nav, however deep."""
    if isinstance(nav, str):
        return [nav]
    inside = nav.values() if isinstance(nav, dict) else nav
    return [file for one in inside for file in places(one)]


def test_the_reference_is_of_this_code() -> None:
    """Names and keys; how types are spelt depends on the version of Python."""
    written = runpy.run_path(str(DOCS / "reference" / "generate.py"))["PAGES"]
    for name, write in written.items():
        stored = (DOCS / "reference" / name).read_text(encoding="utf-8")
        wanted = re.findall(r"^(?:#+ .*|\* `-[^`]*`|\| `\w+` |::: .*)", write(), flags=re.MULTILINE)
        assert len(wanted) > 10
        assert [one for one in wanted if one not in stored] == [], "run `python docs/reference/generate.py`"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_site_builds_and_no_page_is_missing(tmp_path: Path) -> None:
    for name in ("docs", "vljepa"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "pretrained"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    (tmp_path / "docs" / "index.md").open("a").write("\n[control](no-such-page.md)\n")
    command = [sys.executable, "-m", "zensical", "build"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    missing = re.findall(r"page does not exist\s+.*?\[ ([\w./-]+):", printed)
    assert missing == ["index.md"], "the control alone"
    for page in ("index.html", "reference/api/index.html", "results/index.html"):
        assert (tmp_path / "site" / page).is_file()
    shown = (tmp_path / "site" / "reference" / "api" / "index.html").read_text(encoding="utf-8")
    assert "Load a finished model and what belongs to it." in shown, "docstrings are the manual"
