"""Faults that users of this field's tools reported: a check each, named by its public threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[..., None]


class FieldBugs(dict[str, Check]):
    """Checks by the names of their threads; one table for each test file."""

    def reported(self, *threads: str) -> Callable[[Check], Check]:
        """Decorator of the check of a fault that these threads report."""

        def add(check: Check) -> Check:
            self[", ".join(threads)] = check
            return check

        return add

    def run(self, thread: str, **given: Any) -> None:
        """Run a check with those of the given things that it names."""
        check = self[thread]
        names = check.__code__.co_varnames[: check.__code__.co_argcount]
        check(**{name: given[name] for name in names})
