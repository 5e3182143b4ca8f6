"""The controlled comparison: the opponent's scores and sanity, equal data, sizes, and a runner that goes on."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from eval.studies.comparison.data import WordBatch
from eval.studies.comparison.learners import TokenLearner, check_sizes, trained_parameters
from eval.studies.comparison.runner import Plan, load_checkpoint, train_run
from eval.studies.comparison.shared import ARMS, Setting, Shared
from eval.studies.comparison.vlm import CutVocabulary, TokenVLM, build_vlm, pack
from eval.tasks.coco_classes import hits_in_truth
from tests.decoders import TEXTS, write_language_model
from vljepa.configs import PartSpec, PredictorConfig
from vljepa.configs.decoder import GenerationConfig
from vljepa.data.collate import Group, _identities
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models.types import Latents, Tokens
from vljepa.training.sharding import forget_last_run

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
        for image in range(6):
            for candidate, text in enumerate(SAID):
                ids, mask = tokenizer.encode([text], max_tokens=20)
                direct = -float(vlm(tokens_BND[image : image + 1], ids, mask).detach())
                tokens = int(mask.sum()) - 1
                assert float(found[image, candidate]) / tokens == pytest.approx(direct, abs=1e-4)
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

        monkeypatch.setattr("eval.studies.comparison.vlm.pack", careless)
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
        batch = Group(
            WordBatch(
                latents=Latents(tokens_BND, torch.ones(tokens_BND.shape[:2], dtype=torch.bool)), words=Tokens(ids, mask)
            )
        )
        whole = float(vlm(tokens_BND, ids, mask).detach())
        assert float(learner.loss([batch], step=0).detach()) == pytest.approx(whole, abs=1e-5)  # type: ignore[list-item]


@pytest.fixture(scope="module")
def shared(language_model: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The comparison in small: a toy encoder, a slice of the random llama, coloured shapes."""
    folder = tmp_path_factory.mktemp("comparison")
    sources = [{"name": "captions", "path": "captions.jsonl", "first_text": 1.0}]
    recipe = {
        "model": {
            "preset": "toy",
            "embed_dim": 4,
            "predictor": {"part": f"transformers:{language_model}#1:2", "dropout": 0.1},
            "residual": None,
            "y_encoder": {"head": "linear"},
        },
        "data": {"train": sources, "validation": sources, "cache": {"views": 2}},
        "optim": {"warmup_steps": 2, "schedule": "constant"},
        "train": {"batch_size": 8, "ema": 0.5, "precision": "fp32"},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    suite = {"recipe": str(folder / "recipe.yaml"), "checkpoints": [1, 3], "max_new_tokens": 12, "emoji_style": "any"}
    texts = [text for line in (shapes / "captions.jsonl").read_text().splitlines() for text in json.loads(line)["text"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.studies.comparison.shared.corpus", lambda _: texts)
        yield Shared(Setting(suite, data=shapes, photos=shapes, work=folder))


def trained(shared: Shared, arm: str, folder: Path, *, digest: str = "") -> dict[str, Any]:
    def start() -> Any:
        learner = shared.learner(arm, lr=1e-2, seed=1)
        return learner, shared.batches(learner, lr=1e-2, seed=1)

    return train_run(
        Plan(arm, 1e-2, 1),
        folder,
        run=shared.setting.recipe(lr=1e-2, seed=1),
        checkpoints=shared.setting.suite["checkpoints"],
        digest=digest or shared.setting.digest(),
        start=start,
    )


class TestBothArms:
    def test_they_see_the_same_images_views_and_targets_in_the_same_order(self, shared: Shared) -> None:
        ours, vlm = (shared.learner(arm, lr=1e-3, seed=1) for arm in ARMS)
        one, two = (shared.batches(learner, lr=1e-3, seed=1) for learner in (ours, vlm))
        assert isinstance(vlm, TokenLearner)
        for step in range(5):
            [mine], [other] = one[step], two[step]
            assert torch.equal(mine.batch.latents.tokens_BND, other.batch.latents.tokens_BND)
            assert torch.equal(mine.batch.pair_ids_B, other.batch.pair_ids_B)
            said = vlm.tokenizer.decode(other.batch.words.ids_BL[:, 1:])
            assert torch.equal(_identities(said), mine.batch.text_ids_B)
        assert one.order() == two.order()
        other_seed = shared.batches(ours, lr=1e-3, seed=2)
        assert not torch.equal(other_seed[0][0].batch.text_ids_B, one[0][0].batch.text_ids_B)

    def test_a_learner_is_let_go_by_the_next_and_a_training_may_lie_between_them(self, shared: Shared) -> None:
        before = weakref.ref(shared.learner("vlm", lr=1e-3, seed=0).model)
        forget_last_run()  # as a trainer does, such as that of our arm's decoder, though its run is finished
        learner = shared.learner("ours", lr=1e-3, seed=0)
        gc.collect()
        assert before() is None
        assert learner.accelerator.num_processes == 1, "its state is there"

    def test_ours_trains_no_more_than_the_opponent_or_there_is_no_comparison(self, shared: Shared) -> None:
        sizes = [trained_parameters(shared.learner(arm, lr=1e-3, seed=0).model) for arm in ARMS]
        assert 0 < sizes[0] <= sizes[1]
        check_sizes(ours=sizes[1], opponent=sizes[1])
        with pytest.raises(ConfigError, match=rf"our arm trains {sizes[1] + 1:,} parameters, the token VLM"):
            check_sizes(ours=sizes[1] + 1, opponent=sizes[1])

    @pytest.mark.parametrize("arm", ARMS)
    def test_a_run_moves_every_trained_tensor_and_its_checkpoints_load(
        self, shared: Shared, arm: str, tmp_path: Path
    ) -> None:
        curve = trained(shared, arm, tmp_path)
        assert [(one["step"], one["samples"]) for one in curve["checkpoints"]] == [(1, 8), (3, 24)]
        learner = shared.learner(arm, lr=1e-2, seed=1)
        before = {name: one.detach().clone() for name, one in learner.model.named_parameters() if one.requires_grad}
        load_checkpoint(learner, tmp_path, step=3)
        now = dict(learner.model.named_parameters())
        assert all(not torch.equal(one, now[name]) for name, one in before.items())
        other = shared.learner("vlm" if arm == "ours" else "ours", lr=1e-2, seed=1)
        with pytest.raises(CheckpointError, match="another learner's weights"):
            load_checkpoint(other, tmp_path, step=3)

    @pytest.mark.parametrize("arm", ARMS)
    def test_a_run_that_was_broken_off_goes_on_to_the_last_bit_and_a_finished_one_is_not_run_again(
        self, shared: Shared, arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = trained(shared, arm, tmp_path / "whole")
        kind = type(shared.learner(arm, lr=1e-2, seed=1))
        plain, steps = kind.loss, []

        def broken(self: Any, batches: Any, *, step: int) -> torch.Tensor:
            steps.append(step)
            if len(steps) == 3:
                raise KeyboardInterrupt
            return plain(self, batches, step=step)

        monkeypatch.setattr(kind, "loss", broken)
        with pytest.raises(KeyboardInterrupt):
            trained(shared, arm, tmp_path / "broken")
        half = json.loads((tmp_path / "broken/curve.json").read_text())
        assert [one["step"] for one in half["checkpoints"]] == [1]
        again = trained(shared, arm, tmp_path / "broken")
        assert steps == [0, 1, 2, 1, 2]  # from its checkpoint on, not from the start
        assert [one["loss"] for one in again["checkpoints"]] == [one["loss"] for one in whole["checkpoints"]]
        one, two = (load_file(tmp_path / name / "step_000003.safetensors") for name in ("whole", "broken"))
        assert all(torch.equal(one[name], two[name]) for name in one)
        monkeypatch.setattr(kind, "loss", lambda *_, **__: pytest.fail("trained again"))
        assert trained(shared, arm, tmp_path / "broken") == again
        with pytest.raises(CheckpointError, match=r"another recipe.*choose another --work"):
            trained(shared, arm, tmp_path / "broken", digest="other")


def test_a_right_class_must_be_strictly_among_the_best() -> None:
    scores_NC = np.array([[0.9, 0.5, 0.1, 0.5], [0.2, 0.2, 0.2, 0.2], [0.1, 0.9, 0.8, 0.7]], dtype=np.float32)
    truth_NC = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]], dtype=bool)
    assert hits_in_truth(scores_NC, truth_NC, k=1).tolist() == [True, False, False]
    assert hits_in_truth(scores_NC, truth_NC, k=3).tolist() == [True, False, True]
