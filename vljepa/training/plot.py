"""Draws a run from its log: loss, the tasks' metrics, and the collapse panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vljepa.errors import ConfigError, DataError
from vljepa.training.tracking import LOG_FILE, read_log

PLOT_FILE = "training.png"
PANELS = (
    ("main metric per source", "/main"),
    ("R@5 both ways", "/r5"),
    ("effective rank of predictions", "/effective_rank"),
    ("matched minus shuffled cosine", "/matched_minus_shuffled"),
    ("uniformity of predictions", "/uniformity"),
    ("share of weights that moved", "moved/"),
)


def require_matplotlib() -> None:
    """Check that the plotting library is installed.

    Raises:
        ConfigError: It is not.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "plots need matplotlib, which is not installed.", fix="run `pip install 'vljepa-torch[plot]'`."
        ) from None


def plot_run(folder: str | Path) -> Path:
    """Draw `training.png` into a run's folder.

    Raises:
        ConfigError: Matplotlib is not installed.
        DataError: The folder has no log.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    lines = read_log(Path(folder))
    if not lines:
        raise DataError(f"there is no {LOG_FILE} in {str(folder)!r}.", fix="give the folder of a run.")
    train = [line for line in lines if line["kind"] == "train"]
    validation = [line for line in lines if line["kind"] == "validation"]
    figure = Figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplots(3, 3).flat
    for axis, name in zip(axes, ("loss", "temperature", "lr"), strict=False):
        _curve(axis, train, name, label=name)
        axis.set_title(name)
    for axis, (title, key) in zip(list(figure.axes)[3:], PANELS, strict=True):
        names = dict.fromkeys(name for line in validation for name in line if key in name)
        for name in names:
            _curve(axis, validation, name, label=name.replace(key, "").strip("/"))
        axis.set_title(title)
        if names:
            axis.legend(fontsize="x-small")
    path = Path(folder) / PLOT_FILE
    figure.savefig(path, dpi=110)
    return path


def _curve(axis: Any, lines: list[dict[str, Any]], name: str, *, label: str) -> None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    axis.plot([step for step, _ in points], [value for _, value in points], label=label, marker=".", markersize=3)
    axis.set_xlabel("step")
