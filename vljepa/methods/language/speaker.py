"""An LLM-JEPA with its tokenizer: texts to tokens, continuations and latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor

from vljepa.checkpoint.llm_jepa import predictor_names, read_llm_jepa
from vljepa.data.text_pairs import TextPair
from vljepa.models.language.llm_jepa import LLMJEPA
from vljepa.models.language.packing import Pair, pack
from vljepa.models.types import Batch

View = Literal["first", "second"]
_AT_ONCE = 50
_SEPARATOR = "\n"


class Speaker:
    """A model that continues first views, and gives latents of texts.

    Args:
        model: See `LLMJEPA`.
        tokenizer: With its added tokens.
    """

    def __init__(self, model: LLMJEPA, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer

    @classmethod
    def from_pretrained(cls, folder: str | Path, *, device: str | torch.device = "cpu") -> Self:
        """What `vljepa train` with method llm_jepa has saved.

        Raises:
            CheckpointError: There is none.
        """
        model, tokenizer = read_llm_jepa(Path(folder))
        return cls(model.to(device).eval(), tokenizer)

    @property
    def device(self) -> torch.device:
        """Of the model."""
        return next(self.model.parameters()).device

    def tokens(self, pair: TextPair) -> Pair:
        """Tokens of both views; a line break ends the first one."""
        first, second = (
            self.tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (pair.first + _SEPARATOR, pair.second)
        )
        return Pair(first, second)

    def packing(self) -> dict[str, Any]:
        """What `pack` is given beside pairs and `views`."""
        end = self.tokenizer.eos_token_id
        padding = end if self.tokenizer.pad_token_id is None else self.tokenizer.pad_token_id
        names = predictor_names(self.model.config.predictor_tokens)
        return {"end": end, "padding": padding, "predictors": self.tokenizer.convert_tokens_to_ids(names)}

    @torch.no_grad()
    def rows(self, pairs: Sequence[TextPair], *, predictors: bool = True) -> dict[str, Tensor]:
        """What `LLMJEPA.forward` says of pairs.

        Args:
            pairs: Texts.
            predictors: With the added tokens; without, `predicted` is the state of the first view's own last token.
        """
        packing = self.packing() | ({} if predictors else {"predictors": []})
        parts = []
        for start in range(0, len(pairs), _AT_ONCE):
            some = [self.tokens(one) for one in pairs[start : start + _AT_ONCE]]
            parts.append(self.model(Batch(packed=pack(some, views=True, **packing)).to(self.device)))
        return {key: torch.cat([one[key] for one in parts]) for key in parts[0]}

    def encode(self, texts: Sequence[str], *, view: View = "second") -> Tensor:
        """Latents of texts, [N, D]: the last layer's state of the last token, after the final norm.

        Args:
            texts: Each by itself.
            view: Which view of a pair they are: a first one ends with a line break, as in training.
        """
        pairs = [TextPair(one, one) for one in texts]
        return self.rows(pairs, predictors=False)["predicted" if view == "first" else "target"]

    def predict(self, texts: Sequence[str]) -> Tensor:
        """What first views predict of the second views' latents, [N, D]."""
        return self.rows([TextPair(one, one) for one in texts])["predicted"]

    @torch.no_grad()
    def generate(self, texts: Sequence[str], *, max_new_tokens: int = 96) -> list[str]:
        """Greedy continuations of first views.

        Args:
            texts: First views.
            max_new_tokens: Of each, the end included.
        """
        packing = self.packing()
        written: list[str] = []
        for start in range(0, len(texts), _AT_ONCE):
            firsts = [self.tokens(TextPair(one, "")).first for one in texts[start : start + _AT_ONCE]]
            longest = max(map(len, firsts))
            ids = [[packing["padding"]] * (longest - len(one)) + list(one) for one in firsts]
            mask = [[0] * (longest - len(one)) + [1] * len(one) for one in firsts]
            found = self.model.language_model.generate(
                input_ids=torch.tensor(ids, device=self.device),
                attention_mask=torch.tensor(mask, device=self.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                eos_token_id=packing["end"],
                pad_token_id=packing["padding"],
            )
            written += self.tokenizer.batch_decode(found[:, longest:], skip_special_tokens=True)
        return [one.strip() for one in written]
