"""What training minimises: tensors in, one number out."""

from vljepa.objectives.infonce import infonce
from vljepa.objectives.positives import positive_mask

__all__ = ["infonce", "positive_mask"]
