"""What a finished run leaves beside its models: result.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from vljepa.errors import CheckpointError
from vljepa.training.checkpoint import write_whole
from vljepa.validation.tasks import Metrics

RESULT_FILE = "result.json"


@dataclass
class TrainResult:
    """What a run came to.

    Args:
        folder: Of the run; `best` and `last` in it are saved models.
        steps: Optimizer steps done.
        best_step: Step of `best`; None without validation sources.
        metrics: Validation metrics at `best_step`, with the calibration's. They are those of the residual's factor that
            was chosen on the same data afterwards, so higher than in the log: `calibration/residual/logged` is that.
        skipped: Reason per unreadable image.
        stopped_early: Whether the steps are fewer than were planned, since validation was not getting better.
    """

    folder: str
    steps: int
    best_step: int | None = None
    metrics: Metrics = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    stopped_early: bool = False

    @property
    def model_folder(self) -> Path:
        """The saved model to use: `best`, or `last` when nothing was validated."""
        return Path(self.folder) / ("last" if self.best_step is None else "best")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as in result.json."""
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write result.json, whole or not at all: its presence says that the run is finished."""
        write_whole(folder / RESULT_FILE, json.dumps(self.as_dict(), indent=2))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Result in a run's folder; None while the run is not finished.

        Raises:
            CheckpointError: The file is not what `write` wrote.
        """
        path = folder / RESULT_FILE
        if not path.is_file():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise CheckpointError(
                f"{str(path)!r} is not a run's result: {error}.", fix="delete it; the run then ends anew."
            ) from error
