"""`import vljepa` registers its models with transformers' auto classes, and imports no transformers for that.

Those modules of transformers that are imported already are told at once, the others after they have been imported.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_AUTO = "transformers.models.auto."
_WAITING = {
    f"{_AUTO}modeling_auto": "register_model",
    f"{_AUTO}processing_auto": "register_processor",
    f"{_AUTO}configuration_auto": "register_config",
}
"""Modules of transformers, and what is called after each, in `vljepa.integrations.auto_classes`."""


class _Afterwards(Loader):
    """A loader that registers after it has run the module."""

    def __init__(self, loader: Loader, name: str) -> None:
        self._loader = loader
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register(self._name)


class _Finder(MetaPathFinder):
    """Finds those modules as Python does, with `_Afterwards` around their loader."""

    def __init__(self) -> None:
        self._waiting = set(_WAITING)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname not in self._waiting:
            return None
        self._waiting.discard(fullname)  # the next line asks all finders again
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Afterwards(spec.loader, fullname)
        return spec


def register_when_imported() -> None:
    """Register with what is imported, and with the rest when it is; once per process."""
    if any(isinstance(one, _Finder) for one in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name in _WAITING:
        if name in sys.modules:
            _register(name)


def _register(name: str) -> None:
    getattr(import_module("vljepa.integrations.auto_classes"), _WAITING[name])()
