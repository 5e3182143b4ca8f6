"""The code that a number depends on: a module, and every module of ours that it imports, however deep."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from eval.mini.data import digest_files

PACKAGES = ("eval", "recipes", "vljepa")


def code_of(module: str, *, root: Path) -> list[Path]:
    """Source files of a module and of all that it imports, in its functions too, sorted.

    Args:
        module: Dotted name, such as `eval.tasks.retrieval`.
        root: Folder of the packages in `PACKAGES`.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imported(path)]
    return sorted(found.values())


def code_digest(module: str, *, root: Path) -> str:
    """Hash of the files of `code_of`."""
    files = code_of(module, root=root)
    assert files, module
    return digest_files(files)


def _file(name: str, root: Path) -> Path | None:
    if name.partition(".")[0] not in PACKAGES:
        return None
    place = root.joinpath(*name.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _imported(path: Path) -> tuple[str, ...]:
    """Names of modules, and of what may be one: `from eval.harness import suite` is a module of a package."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    return tuple(names)
