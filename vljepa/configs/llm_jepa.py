"""What an LLM-JEPA is made of, and what it is trained for beside the next token."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from vljepa.configs.lora import LoraConfig
from vljepa.configs.part import Strict


class LLMJEPAConfig(Strict):
    """A causal language model that also predicts the latents of one view of a pair from the other one's.

    Args:
        start: Folder or repository of transformers that `AutoModelForCausalLM` loads, with its tokenizer.
        predictor_tokens: Tokens added after the first view, whose last state predicts the second view's; 0 compares the
            states of the views themselves.
        objective: How far a prediction is from the second view's latents.
        weight: Of the objective, beside the next-token loss of 1; 0 trains next tokens alone.
        temperature: Of `infonce`.
        loss_dropout: Share of steps without the objective, drawn from (seed, step): they cost half.
        straightness: Weight of semantic tube prediction (arXiv 2602.22617): states of one text on a straight way.
        max_length: Tokens of a pair; longer ones are left out and counted.
        lora: Train low-rank adapters and the added tokens' embeddings alone; the saved model has them merged.
    """

    start: str
    predictor_tokens: int = Field(1, ge=0, le=16)
    objective: Literal["cosine", "l2", "infonce"] = "cosine"
    weight: float = Field(1.0, ge=0)
    temperature: float = Field(0.07, gt=0)
    loss_dropout: float = Field(0.0, ge=0, lt=1)
    straightness: float = Field(0.0, ge=0)
    max_length: int = Field(512, ge=4)
    lora: LoraConfig | None = None

    @model_validator(mode="after")
    def _has_an_effect(self) -> Self:
        if not self.weight and (self.loss_dropout or self.predictor_tokens):
            raise ValueError("weight = 0 asks for next tokens alone: set loss_dropout and predictor_tokens to 0")
        return self
