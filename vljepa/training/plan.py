"""What a run would do, found out without training: `vljepa train RECIPE --dry-run`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vljepa.configs import RunConfig
from vljepa.methods import Scope, method_of
from vljepa.training.epochs import steps_of


@dataclass(frozen=True, kw_only=True)
class Plan(Scope):
    """What a run would do, and what its method would read and train for it.

    Args:
        steps: Optimizer steps; None when they are given as epochs of rows that are not known.
        batch_size: Samples per step.
        samples: Samples seen, steps x batch_size.
        frames: Most frames of a training source.
        lr: Peak learning rate.
        schedule: Its course after the warm-up.
        output: Folder of the run.
    """

    steps: int | None
    batch_size: int
    samples: int | None
    frames: int
    lr: float
    schedule: str
    output: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def plan_run(run: RunConfig) -> Plan:
    """Check a recipe as far as its files are there, and say what it would do.

    Raises:
        VLJEPAError: The recipe asks for something impossible, or what is there does not fit; as the method says.
    """
    method = method_of(run.method)(run)
    method.check()
    scope = method.scope()
    unknown = run.train.steps is None and run.train.epochs is not None and scope.rows is None
    steps = None if unknown else steps_of(run.train, rows=scope.rows or 0)
    return Plan(
        **vars(scope),
        steps=steps,
        batch_size=run.train.batch_size,
        samples=None if steps is None else steps * run.train.batch_size,
        frames=max(source.frames for source in run.data.train),
        lr=run.optim.lr,
        schedule=run.optim.schedule,
        output=run.train.output,
    )
