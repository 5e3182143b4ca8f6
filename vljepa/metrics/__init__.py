"""Arrays in, numbers out. Ties always count against the model."""

from vljepa.metrics.captions import CiderD, bleu4, distinct_share, mean_length, rouge_l, tokenize
from vljepa.metrics.classification import (
    auroc,
    count_candidates,
    expected_calibration_error,
    fit_temperature,
    fit_temperature_by_count,
    mean_of_templates,
    mean_per_class,
    softmax,
    top_k_hits,
)
from vljepa.metrics.collapse import effective_rank, matched_minus_shuffled, uniformity
from vljepa.metrics.comparisons import by_category, multiple_choice, pair_hits, triplet_hits, winoground
from vljepa.metrics.meteor import meteor, meteor_is_there
from vljepa.metrics.retrieval import retrieval
from vljepa.metrics.round_trip import round_trip
from vljepa.metrics.selective import Curve, cider_at, covering, nearest, saving
from vljepa.metrics.vqa import (
    count_of,
    exact_match,
    normalise_answer,
    pair_accuracy,
    pope,
    tally_accuracy,
    vqa_v2_score,
    yes_or_no,
)

__all__ = [
    "CiderD",
    "Curve",
    "auroc",
    "bleu4",
    "by_category",
    "cider_at",
    "count_candidates",
    "count_of",
    "covering",
    "distinct_share",
    "effective_rank",
    "exact_match",
    "expected_calibration_error",
    "fit_temperature",
    "fit_temperature_by_count",
    "matched_minus_shuffled",
    "mean_length",
    "mean_of_templates",
    "mean_per_class",
    "meteor",
    "meteor_is_there",
    "multiple_choice",
    "nearest",
    "normalise_answer",
    "pair_accuracy",
    "pair_hits",
    "pope",
    "retrieval",
    "rouge_l",
    "round_trip",
    "saving",
    "softmax",
    "tally_accuracy",
    "tokenize",
    "top_k_hits",
    "triplet_hits",
    "uniformity",
    "vqa_v2_score",
    "winoground",
    "yes_or_no",
]
