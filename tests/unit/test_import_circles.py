"""No module of `vljepa` or `eval` imports itself by way of others, inside a package neither.

Imports inside functions and those for type checking count too.
"""

from __future__ import annotations

import copy
from pathlib import Path

import grimp
import pytest

PACKAGES = ("vljepa", "eval")


def circles(graph: grimp.ImportGraph) -> set[frozenset[str]]:
    """Sets of modules that reach each other."""
    found: set[frozenset[str]] = set()
    for module in graph.modules:
        if any(module in one for one in found):
            continue
        below = graph.find_upstream_modules(module)
        around = {other for other in below if module in graph.find_upstream_modules(other)}
        if around - {module}:
            found.add(frozenset(around | {module}))
    return found


def sibling_circles(graph: grimp.ImportGraph, package: str) -> set[frozenset[str]]:
    """The same of the children of a package, each taken whole."""
    children = graph.find_children(package)
    squashed = copy.deepcopy(graph)
    for child in children:
        squashed.squash_module(child)
    return {one for one in circles(squashed) if one <= children}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, cache_dir=None)


def test_no_module_is_in_a_circle(graph: grimp.ImportGraph) -> None:
    found = circles(graph)
    assert not found, "a circle: move what both need below them"


def test_no_packages_inside_a_package_are_in_a_circle(graph: grimp.ImportGraph) -> None:
    packages = [module for module in graph.modules if graph.find_children(module)]
    assert {"vljepa", "vljepa.data", "vljepa.data.formats", "eval"} <= set(packages)
    found = {package: sibling_circles(graph, package) for package in packages}
    assert not {package: these for package, these in found.items() if these}


def test_circles_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three modules, by a function and for type checking; and of two packages, where no module is in one."""
    files = {
        "circled/__init__.py": "",
        "circled/a.py": "import circled.b",
        "circled/b.py": "def f():\n    import circled.c",
        "circled/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import circled.a",
        "circled/d.py": "import circled.a",
        "circled/one/__init__.py": "",
        "circled/one/x.py": "import circled.two.y",
        "circled/one/z.py": "",
        "circled/two/__init__.py": "",
        "circled/two/y.py": "import circled.one.z",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = grimp.build_graph("circled", cache_dir=None)
    assert circles(made) == {frozenset({"circled.a", "circled.b", "circled.c"})}
    assert sibling_circles(made, "circled") == {
        frozenset({"circled.a", "circled.b", "circled.c"}),
        frozenset({"circled.one", "circled.two"}),
    }
