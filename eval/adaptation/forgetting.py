"""What a model still knows of mini's own test sets after it was adapted to something else.

The X-Encoder is frozen, so all arms share what it says of a picture, which takes most of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from eval.mini.data import read_captions, read_questions
from vljepa.inference.embed import Embedder, Rows
from vljepa.metrics import retrieval
from vljepa.models.types import Latents

STYLE = "fluent"
QUESTIONS = 100
KINDS = ("easy_vqa", "emoji", "photos")
BATCH = 64

Asked = tuple[Path, str]


class Memory:
    """Mini's own test sets, encoded by the X-Encoder once.

    Args:
        mini_data: Prepared folder of recipes/mini/prepare.py.
        embedder: Any model with mini's X-Encoder.
    """

    def __init__(self, mini_data: Path, *, embedder: Embedder) -> None:
        self.captions = {
            source: [one for one in read_captions(mini_data, source, "test") if source != "emoji" or one.style == STYLE]
            for source in ("photos", "emoji")
        }
        whole = {kind: read_questions(mini_data, kind, "test") for kind in KINDS}
        self.questions = {kind: rows[:: max(1, len(rows) // QUESTIONS)] for kind, rows in whole.items()}
        pictures = [one.path for rows in self.captions.values() for one in rows]
        pictures += [Path(str(one.image)) for rows in self.questions.values() for one in rows]
        with torch.inference_mode():
            self._vision = {
                path: embedder.model.encode_vision(embedder.read(path).to(embedder.device))
                for path in dict.fromkeys(pictures)
            }

    def remembered(self, embedder: Embedder) -> dict[str, float]:
        """Image-to-text R@1 on the test photos and emoji, and accuracy on closed questions, all 0 to 1.

        Args:
            embedder: The adapted model.
        """
        return {
            "photos_r1": self._retrieved(embedder, "photos"),
            "emoji_r1": self._retrieved(embedder, "emoji"),
            "questions": float(np.mean([self._answered(embedder, kind) for kind in KINDS])),
        }

    def _retrieved(self, embedder: Embedder, source: str) -> float:
        items = self.captions[source]
        texts = list(dict.fromkeys(text for one in items for text in one.texts))
        places = {text: place for place, text in enumerate(texts)}
        positives = [[places[text] for text in one.texts] for one in items]
        pictures_ND = self._predictions(embedder, [(one.path, "") for one in items])
        return retrieval(pictures_ND, embedder.texts(texts), positives=positives)["r1"]

    def _answered(self, embedder: Embedder, kind: str) -> float:
        questions = self.questions[kind]
        texts = list(dict.fromkeys(text for one in questions for text in one.candidates))
        embedded_MD = embedder.texts(texts)
        rows_ND = self._predictions(embedder, [(Path(str(one.image)), one.query) for one in questions])
        hits = []
        for question, row_D in zip(questions, rows_ND, strict=True):
            scores = embedded_MD[[texts.index(text) for text in question.candidates]] @ row_D
            right = question.candidates.index(question.texts[0])
            hits.append(bool(scores[right] > np.delete(scores, right).max()))  # a tie is wrong
        return float(np.mean(hits))

    @torch.inference_mode()
    def _predictions(self, embedder: Embedder, asked: Sequence[Asked]) -> Rows:
        rows = []
        for start in range(0, len(asked), BATCH):
            chunk = asked[start : start + BATCH]
            seen = [self._vision[path] for path, _ in chunk]
            logits = [one.logits_BK for one in seen if one.logits_BK is not None]
            vision = Latents(
                torch.cat([one.tokens_BND for one in seen]),
                torch.cat([one.mask_BN for one in seen]),
                torch.cat(logits) if logits else None,
            )
            prompt = embedder.model.config.prompts.caption
            queries = embedder.processor.queries([query or prompt for _, query in chunk])
            ids, mask = (queries[name].to(embedder.device) for name in ("query_ids", "query_mask"))
            rows.append(embedder.model.predict(vision.to(embedder.device), ids, mask).float().cpu().numpy())
        return np.concatenate(rows)
