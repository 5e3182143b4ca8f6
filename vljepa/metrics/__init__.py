"""Arrays in, numbers out. Ties always count against the model."""

from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length, rouge_l, tokenize
from vljepa.metrics.classification import expected_calibration_error, fit_temperature, softmax, top_k_hits
from vljepa.metrics.collapse import effective_rank, matched_minus_shuffled, uniformity
from vljepa.metrics.retrieval import retrieval

__all__ = [
    "CiderD",
    "bleu4",
    "distinct_share",
    "effective_rank",
    "expected_calibration_error",
    "fit_temperature",
    "matched_minus_shuffled",
    "mean_length",
    "retrieval",
    "rouge_l",
    "softmax",
    "tokenize",
    "top_k_hits",
    "uniformity",
]
