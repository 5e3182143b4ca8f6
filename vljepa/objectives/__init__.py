"""What training minimises: tensors in, one number out."""

from vljepa.objectives.answers import NO_ANSWER, answer_softmax
from vljepa.objectives.cached import grad_cache
from vljepa.objectives.gather import gather_with_gradient
from vljepa.objectives.infonce import infonce
from vljepa.objectives.positives import Positives
from vljepa.objectives.registry import OBJECTIVES, TERMS, Gathered
from vljepa.objectives.regression import cosine_loss, l1_loss, l2_loss
from vljepa.objectives.regularizers import covariance, sigreg, variance_hinge
from vljepa.objectives.sigmoid import sigmoid_loss

__all__ = [
    "NO_ANSWER",
    "OBJECTIVES",
    "TERMS",
    "Gathered",
    "Positives",
    "answer_softmax",
    "cosine_loss",
    "covariance",
    "gather_with_gradient",
    "grad_cache",
    "infonce",
    "l1_loss",
    "l2_loss",
    "sigmoid_loss",
    "sigreg",
    "variance_hinge",
]
