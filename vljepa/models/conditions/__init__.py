"""What a prediction depends on beside its context: a question, an action, which tokens are asked for."""

from vljepa.models.conditions.action import ActionCondition
from vljepa.models.conditions.mask import MaskCondition
from vljepa.models.conditions.text import embed_query

__all__ = ["ActionCondition", "MaskCondition", "embed_query"]
