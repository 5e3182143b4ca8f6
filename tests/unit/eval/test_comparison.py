"""The controlled comparison: the opponent's scores and sanity, equal data, sizes, and a runner that goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file

from eval import registry
from eval.studies.comparison import study
from eval.studies.comparison.data import Images, WordBatch, constant_ranking
from eval.studies.comparison.learners import TokenLearner, check_sizes, pmi, trained_parameters
from eval.studies.comparison.points import METRICS, READERS, SCORINGS, curves_of
from eval.studies.comparison.runner import Plan, load_checkpoint, train_run
from eval.studies.comparison.shared import ARMS, Setting, Shared
from eval.studies.comparison.vlm import CutVocabulary, TokenVLM, build_vlm, pack
from eval.tasks.coco_classes import CLASSES, hits_in_truth
from tests.conftest import write_rows
from tests.decoders import TEXTS, write_language_model
from vljepa.backends import part_config, part_folder
from vljepa.configs import PartSpec, PredictorConfig, load_preset
from vljepa.configs.decoder import GenerationConfig
from vljepa.data.collate import Group, _identities
from vljepa.errors import CheckpointError, ConfigError
from vljepa.models.types import Latents, Tokens
from vljepa.models.x_encoder import XEncoder
from vljepa.processing.image import ImageTransform, open_image

IMAGES = Path(__file__).parents[2] / "assets/mini_sample/emoji/fluent"
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


def test_points_hold_both_arms_with_their_seeds_and_the_difference_on_the_same_images() -> None:
    def seen(arm: str, shift: float) -> dict[str, Any]:
        names = [f"{scoring}{name}" for scoring in SCORINGS[arm] for name in METRICS]
        names += [f"cider/{reader}" for reader in READERS[arm]]
        one = {name: [place % 2 + shift for place in range(40)] for name in names}
        return {"emoji": one, "photos": one}

    measured = {"ours": {5: [seen("ours", 0.5), seen("ours", 0.7)]}, "vlm": {5: [seen("vlm", 0.0), seen("vlm", 0.1)]}}
    ranking = {name: [(place + 1) % 2 for place in range(40)] for name in ("top1", "top5")}
    emoji, photos = curves_of(128, measured, ranking)
    assert (emoji["samples"], emoji["source"], photos["source"]) == (640, "emoji", "photos")
    top1 = emoji["arms"]["ours"]["top1"]
    assert top1["seeds"] == pytest.approx([1.0, 1.2])
    assert top1["mean"] == pytest.approx(1.1)
    assert top1["low"] < 1.1 < top1["high"]
    # Images differ by 1, but the two learners on the same image never do.
    for name in ("cider/shipped decoder", "top1", "pmi/top1"):
        difference = emoji["ours_minus_vlm"][name]
        assert [difference[end] for end in ("low", "mean", "high")] == pytest.approx([0.55] * 3)
    # Both arms against the constant ranking, on the same images: it is right where they are wrong.
    assert "minus_constant" not in emoji
    against = photos["minus_constant"]
    assert {arm: list(found) for arm, found in against.items()} == {
        "ours": ["top1", "top5"],
        "vlm": ["top1", "top5", "pmi/top1", "pmi/top5"],
    }
    assert against["ours"]["top1"]["mean"] == pytest.approx(0.6)
    assert against["vlm"]["pmi/top5"]["mean"] == pytest.approx(0.05)
    assert against["ours"]["top1"]["high"] - against["ours"]["top1"]["low"] > 0.4


def test_what_every_text_gets_is_taken_out_by_pmi() -> None:
    """Two texts, of which one is likely whatever the image is: PMI asks what the image adds."""
    sums_NC = np.array([[-1.0, -3.0], [-1.5, -6.0]], dtype=np.float32)
    marginal_MC = np.array([[-1.0, -6.0], [-1.0, -6.0], [-1.0, -6.0]], dtype=np.float32)
    assert sums_NC.argmax(1).tolist() == [0, 0]
    found = pmi(sums_NC, marginal_MC)
    assert found == pytest.approx(np.array([[0.0, 3.0], [-0.5, 0.0]]), abs=1e-6)
    # The mean is of likelihoods and not of their logs, and each column is shifted alike: images keep their order.
    one = pmi(sums_NC, np.array([[-1.0, -6.0], [-2.0, -6.0]], dtype=np.float32))
    own = np.log((np.exp(-1) + np.exp(-2)) / 2)
    assert one[:, 0] == pytest.approx([-1 - own, -1.5 - own], abs=1e-6)


class TestGrid:
    """The grid of learning rates goes on, for both arms, until the best of each is inside it."""

    def run(
        self, monkeypatch: pytest.MonkeyPatch, best: dict[str, float]
    ) -> tuple[dict[str, Any], list[tuple[str, float]]]:
        tried: list[tuple[str, float]] = []

        def validated(shared: Any, plan: Plan, steps: int) -> dict[str, float]:
            tried.append((plan.arm, plan.lr))
            return dict.fromkeys(study.CHOICE, -abs(np.log(plan.lr / best[plan.arm])))

        monkeypatch.setattr(study, "run_until", lambda *_: None)
        monkeypatch.setattr(study, "validated", validated)
        suite = {"learning_rates": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2], "seeds": [0], "grid_steps": 80}
        return study.grid(SimpleNamespace(setting=SimpleNamespace(suite=suite))), tried  # type: ignore[arg-type]

    def test_it_stops_where_both_are_inside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, tried = self.run(monkeypatch, {"ours": 3e-4, "vlm": 3e-4})
        assert {rate for _, rate in tried} == {1e-4, 3e-4, 1e-3}
        assert (found["chosen"], found["at_edge"]) == ({"ours": 3e-4, "vlm": 3e-4}, [])

    def test_it_goes_on_for_both_while_one_is_at_the_edge(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, tried = self.run(monkeypatch, {"ours": 3e-4, "vlm": 3e-3})
        assert tried[-4:] == [("ours", 3e-3), ("vlm", 3e-3), ("ours", 1e-2), ("vlm", 1e-2)]
        assert (found["chosen"], found["at_edge"]) == ({"ours": 3e-4, "vlm": 3e-3}, [])

    def test_an_edge_that_is_left_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found, _ = self.run(monkeypatch, {"ours": 1.0, "vlm": 1e-3})
        assert found["at_edge"] == ["ours"]


def test_the_scores_of_a_learner_are_measured_by_each_of_its_scorings() -> None:
    class Fixed:
        def scores(self, images: Any, texts: Any) -> dict[str, np.ndarray]:
            right = np.eye(3, dtype=np.float32)
            return {"": np.tile(np.array([3.0, 2.0, 1.0], dtype=np.float32), (3, 1)), "pmi": right}

        def captions(self, images: Any) -> dict[str, list[str]]:
            return {}

    images = Images([Path("a")] * 3, [("a",)] * 3, ["a", "b", "c"], np.eye(3, dtype=bool), ["a", "b", "c"])
    found = study.means(study.score(Fixed(), {"emoji": images}))  # type: ignore[arg-type]
    assert found["emoji/top1"] == pytest.approx(1 / 3)
    assert found["emoji/pmi/top1"] == found["emoji/pmi/to_text"] == 1.0


def test_stored_results_show_operations_with_and_without_the_encoder_and_the_caveats() -> None:
    result = json.loads((Path(__file__).parents[3] / "eval/results/comparison.json").read_text())
    text, cost = registry.tables("comparison", result), result["cost"]
    flops = cost["vlm"]["training_gflop_per_sample"]
    assert f"| {flops:.3f} | {flops + cost['x_encoder_gflop']:.3f} |" in text
    assert "## Caveats" in text
    assert "Both arms minus that ranking" in text


def test_the_ranking_without_looking_is_that_of_the_training_photos(tmp_path: Path) -> None:
    def row(number: int) -> dict[str, Any]:
        return {"image": "a.jpg", "text": ["a"], "source_id": f"coco:{number}", "concept": "a", "style": "photo"}

    (tmp_path / "photos").mkdir()
    write_rows(tmp_path / "photos/captions.train.jsonl", [row(1), row(2)])
    objects = [["person", "dog"], ["person"], ["cat"]]
    shown = [
        {"image": "a.jpg", "image_id": number, "split": "val2017", "objects": dict.fromkeys(names, 1)}
        for number, names in enumerate(objects, start=1)
    ]
    write_rows(tmp_path / "photos.jsonl", shown)
    truth_NC = np.array([[name in right for name in CLASSES] for right in (["person"], ["dog"], ["cat"])])
    test = Images([Path("a")] * 3, [("a",)] * 3, list(CLASSES), truth_NC, ["a"] * 3)
    assert constant_ranking(tmp_path, tmp_path, test) == {"top1": [1, 0, 0], "top5": [1, 1, 0]}


@pytest.mark.assets
def test_the_opponent_learns_images_by_heart_from_the_real_encoders_tokens(language_model: Path) -> None:
    config = load_preset("mini").x_encoder
    part = config.part.model_copy(update={"config": part_config(config.part)})
    encoder = XEncoder(config.model_copy(update={"part": part}))
    encoder.load_pretrained(part_folder(part))
    transform = ImageTransform(config.image)
    paths = sorted(IMAGES.glob("*.png"))[: len(SAID)]
    pixels = torch.stack([transform(open_image(path, max_pixels=10**7)) for path in paths]).unsqueeze(1)
    tokens_BND = encoder(pixels).tokens_BND
    vlm, tokenizer = built(language_model, width=tokens_BND.shape[2], tokens=tokens_BND.shape[1])
    ids, mask = tokenizer.encode(SAID, max_tokens=12)
    optimizer = torch.optim.AdamW(vlm.train().parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        vlm(tokens_BND, ids, mask).backward()
        optimizer.step()
    vlm.eval()
    assert tokenizer.decode(vlm.generate(tokens_BND, shift=False)) == list(SAID)
    # It reads the image: another image's tokens give that image's caption.
    assert tokenizer.decode(vlm.generate(tokens_BND.roll(1, dims=0), shift=False)) == [SAID[-1], *SAID[:-1]]
    best = vlm.log_likelihoods(tokens_BND, rows_of(tokenizer, SAID)).argmax(1)
    assert best.tolist() == list(range(len(SAID)))
