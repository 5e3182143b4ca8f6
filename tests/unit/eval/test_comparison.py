"""The controlled comparison: the opponent's scores and sanity, equal data, sizes, and a runner that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from eval.comparison import runner as module
from eval.comparison.data import WithWords, hits_in_truth
from eval.comparison.learners import TokenLearner, check_sizes, trained_parameters
from eval.comparison.runner import Plan, load_checkpoint, train_run
from eval.comparison.vlm import CutVocabulary, TokenVLM, build_vlm, pack
from tests.conftest import shapes_run
from tests.decoders import TEXTS, write_language_model
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import PartSpec, PredictorConfig, RunConfig
from vljepa.configs.decoder import GenerationConfig
from vljepa.errors import CheckpointError, ConfigError
from vljepa.training.inputs import prepare

WIDTH, TOKENS = 12, 3
SAID = (*TEXTS[:5], *TEXTS[12:15])


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random llama of two layers, as a pretrained part."""
    return write_language_model(tmp_path_factory.mktemp("lm") / "llama", num_hidden_layers=2)


def predictor_config(folder: Path, **changes: Any) -> PredictorConfig:
    part = PartSpec.model_validate(f"transformers:{folder}#1:2")
    return PredictorConfig(part=part, **changes)


def built(folder: Path, *, width: int = WIDTH, tokens: int = TOKENS, **changes: Any) -> tuple[TokenVLM, Any]:
    torch.manual_seed(0)
    vlm, tokenizer = build_vlm(
        predictor_config(folder, **changes),
        vision_width=width,
        visual_tokens=tokens,
        texts=SAID,
        generation=GenerationConfig(max_new_tokens=12),
    )
    return vlm.eval(), tokenizer


def rows_of(tokenizer: Any, texts: Any) -> list[list[int]]:
    ids, mask = tokenizer.encode(texts, max_tokens=20)
    return [row[: int(kept.sum())].tolist() for row, kept in zip(ids, mask, strict=True)]


class TestTokenVlm:
    def test_its_layers_are_the_slice_and_all_of_it_is_trained(self, language_model: Path) -> None:
        from transformers import LlamaForCausalLM

        whole = LlamaForCausalLM.from_pretrained(language_model)
        vlm, tokenizer = built(language_model)
        assert torch.equal(vlm.lm.model.layers[0].mlp.up_proj.weight, whole.model.layers[1].mlp.up_proj.weight)
        assert len(vlm.lm.model.layers) == 1
        kept = torch.tensor(tokenizer.vocabulary.kept)
        assert len(kept) < len(whole.lm_head.weight)
        assert torch.equal(vlm.lm.lm_head.weight, whole.lm_head.weight[kept])
        assert vlm.lm.lm_head.weight is vlm.lm.get_input_embeddings().weight
        assert all(one.requires_grad for one in vlm.parameters())

    def test_scores_are_the_mean_token_log_likelihoods_computed_one_by_one(self, language_model: Path) -> None:
        vlm, tokenizer = built(language_model)
        tokens_BND = torch.randn(6, TOKENS, WIDTH)
        found = vlm.log_likelihoods(tokens_BND, rows_of(tokenizer, SAID))
        for picture in range(6):
            for candidate, text in enumerate(SAID):
                ids, mask = tokenizer.encode([text], max_tokens=20)
                direct = -float(vlm(tokens_BND[picture : picture + 1], ids, mask).detach())
                assert float(found[picture, candidate]) == pytest.approx(direct, abs=1e-4)
        assert float(found.std()) > 0.05

    def test_a_candidate_that_saw_the_others_would_score_otherwise(
        self, language_model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        vlm, tokenizer = built(language_model)
        tokens_BND, rows = torch.randn(1, TOKENS, WIDTH), rows_of(tokenizer, SAID)
        right = vlm.log_likelihoods(tokens_BND, rows)

        def careless(rows: Any, *, prefix: int) -> Any:
            packed = pack(rows, prefix=prefix)
            return packed._replace(sees_SS=torch.ones_like(packed.sees_SS).tril())

        monkeypatch.setattr("eval.comparison.vlm.pack", careless)
        assert float((vlm.log_likelihoods(tokens_BND, rows) - right).abs().max()) > 1e-3

    def test_what_was_cut_from_the_vocabulary_cannot_be_written(self, language_model: Path) -> None:
        _, tokenizer = built(language_model)
        assert tokenizer.decode(tokenizer.encode(SAID, max_tokens=20)[0][:, 1:]) == list(SAID)
        assert isinstance(tokenizer.vocabulary, CutVocabulary)
        unseen = next(text for text in TEXTS if set(text.split()) - set(" ".join(SAID).split()))
        with pytest.raises(KeyError):
            tokenizer.vocabulary.pieces(unseen)

    def test_the_loss_in_parts_is_the_loss_of_the_whole_batch(self, language_model: Path) -> None:
        vlm, tokenizer = built(language_model)
        learner = TokenLearner(vlm, tokenizer, reader=None, accelerator=Accelerator(cpu=True))  # type: ignore[arg-type]
        ids, mask = tokenizer.encode([*SAID, "red", "green square"], max_tokens=20)
        tokens_BND = torch.randn(len(ids), TOKENS, WIDTH)
        batch = SimpleNamespace(tensors={"vision_tokens": tokens_BND, "word_ids": ids, "word_mask": mask})
        whole = float(vlm(tokens_BND, ids, mask).detach())
        assert float(learner.loss([batch], step=0).detach()) == pytest.approx(whole, abs=1e-5)  # type: ignore[list-item]
