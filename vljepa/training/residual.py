"""How far to trust the label prior on new pictures: one factor on its gate, chosen on validation data.

In training the Predictor knows the pictures by heart, so the gate learns to trust the residual less than it should on
pictures that nobody has seen (docs/LOG.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from vljepa.models.modeling import VLJEPA
from vljepa.training.encoding import Encoder
from vljepa.training.validation import Metrics, Task, evaluate_tasks, main_metric

FACTORS = (1.0, 1.5, 2.0, 3.0, 4.0)


def fit_residual(model: VLJEPA, tasks: Sequence[Task], *, encoder: Encoder, metric: str) -> Metrics:
    """Set `config.calibration.residual` to the factor with the best validation metric.

    Args:
        model: The one that `encoder` encodes with.
        tasks: Validation tasks.
        encoder: Reads their pictures and texts.
        metric: As `train.best_metric`.

    Returns:
        Validation metrics at that factor; nothing for a model without a gate.
    """
    if model.gate is None:
        return {}
    measured: dict[float, Metrics] = {}
    for factor in FACTORS:
        model.config.calibration.residual = factor
        measured[factor] = evaluate_tasks(tasks, encoder=encoder)
    best = max(FACTORS, key=lambda factor: main_metric(measured[factor], name=metric))
    model.config.calibration.residual = best
    return measured[best] | {"calibration/residual": best}
