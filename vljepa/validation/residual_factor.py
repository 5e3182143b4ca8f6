"""How far to trust the label prior on new images: one factor on its gate, chosen on validation data.

In training the Predictor knows the images by heart, so the gate learns to trust the residual less than it should on
images that nobody has seen (docs/LOG.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from vljepa.models.jepa import JEPA
from vljepa.validation.encoder import Encoder
from vljepa.validation.tasks import Metrics, Task, evaluate_tasks, main_metric

LOGGED = "calibration/residual/logged"
"""What the metric was that chose the factor, before it was chosen."""
FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)


def fit_residual(model: JEPA, tasks: Sequence[Task], *, encoder: Encoder, metric: str) -> Metrics:
    """Set `config.calibration.residual` to the factor with the best validation metric.

    Args:
        model: The one that `encoder` encodes with.
        tasks: Validation tasks.
        encoder: Reads their images and texts.
        metric: As `train.best_metric`.

    Returns:
        Validation metrics at that factor, and what `metric` was at the factor of training, as the log has it; nothing
        for a model without a gate.
    """
    if all(one.gate is None for one in model.predictors().values()):
        return {}
    trained = model.config.calibration.residual
    measured: dict[float, Metrics] = {}
    for factor in sorted({*FACTORS, trained}):
        model.config.calibration.residual = factor
        measured[factor] = evaluate_tasks(tasks, encoder=encoder)
    best = max(measured, key=lambda factor: main_metric(measured[factor], name=metric))
    model.config.calibration.residual = best
    return measured[best] | {"calibration/residual": best, LOGGED: main_metric(measured[trained], name=metric)}


def residual_notes(metrics: Metrics, *, metric: str) -> list[str]:
    """What has to be said where the factor has lifted the metric above all that the log has; nothing where it has not.

    Args:
        metrics: Of a finished run.
        metric: As `train.best_metric`.
    """
    if metrics.get(LOGGED, math.inf) >= metrics.get(metric, 0.0):
        return []
    return [
        f"{metric} {metrics[metric]:.4f} is more than the log's {metrics[LOGGED]:.4f}: the residual's factor "
        f"{metrics['calibration/residual']:g} was chosen after training on these same validation data. For a figure to "
        "report, measure a test split: python eval/run.py own_retrieval (or own_questions) --model FOLDER --data FOLDER"
    ]
