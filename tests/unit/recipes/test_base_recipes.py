"""The recipes that want the hub and a GPU: their numbers, and all their steps on small models of the same classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from transformers import LlamaConfig, VJEPA2Config
from transformers.models.gemma3.configuration_gemma3 import Gemma3TextConfig

from tests.conftest import write_rows
from tests.contract.hub_dual_encoders import DUAL_ENCODERS
from tests.contract.hub_text_towers import minilm
from tests.contract.test_presets import small
from vljepa import VLJEPA
from vljepa.backends.resolve import COMMON
from vljepa.cli.main import main
from vljepa.cli.recipe import find_recipe
from vljepa.configs import ImageConfig, load_run_config, load_stages
from vljepa.training.plan import plan_run

BASE, COCO = find_recipe("base_paper"), find_recipe("coco_base_open")


def with_tokenizer(folder: str) -> None:
    """A tokenizer of whole words for the vocabulary of 64 that the small models have."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", "a", "the", "red", "blue", "big", "small", "what", "colour", "is", "it"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>").save_pretrained(folder)


def small_recipe(path: Path, preset: str, folder: Path) -> Path:
    """The recipe itself, with the preset's parts pointed at small models."""
    config = small(preset, folder / "parts")
    for section in (config.predictor, config.y_encoder):
        with_tokenizer(section.part.name)
    raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    changes = raw["model"] if isinstance(raw["model"], dict) else {}
    raw["model"] = config.model_dump(mode="json")
    for name, value in changes.items():
        if name != "preset":
            raw["model"][name] |= value
    target = folder / path.name
    target.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return target


def write_data(folder: Path, names: list[str]) -> None:
    """A JSONL per set, over images, and over a video of images where the set is one of videos."""
    (folder / "film").mkdir(parents=True)
    for number in range(9):
        Image.new("RGB", (40, 40), (28 * number, 90, 200 - 20 * number)).save(folder / "film" / f"{number}.png")
    for name in names:
        rows: list[dict[str, Any]] = []
        for number in range(8):
            seen: dict[str, Any] = {"image": f"film/{number}.png"}
            if name == "action100m":
                seen = {"video": "film", "start": 0.1 * number, "end": 1.0}
            asked = {"query": "what colour is it"} if name == "vqa" else {}
            rows.append({**seen, **asked, "text": ["a red", "the blue", "big red", "small"][number % 4]})
        write_rows(folder / f"{name}.jsonl", rows)


def test_base_paper_has_the_paper_s_numbers() -> None:
    stages = load_stages(BASE)
    table = {
        name: (run.data.train[-1].frames or 1, run.train.batch_size, run.train.steps, run.optim.schedule)
        for name, run in stages.items()
    }
    assert table == {
        "images": (1, 24_576, 100_000, "constant"),
        "video": (8, 12_288, 60_000, "constant"),
        "long_video": (32, 12_288, 10_000, "constant"),
        "sft": (8, 3_072, 83_000, "cosine"),
    }
    for name, run in stages.items():
        assert run.optim.y_encoder_lr_scale == 0.05
        assert not run.model.x_encoder.image.is_resolved, "the encoder's own files say how it wants to see"
        assert run.objective.name == "infonce"
        assert name == "sft" or run.optim.lr == 5e-5
    weights = {source.name: source.weight for source in stages["sft"].data.train}
    new = [weights[name] for name in ("vqa", "captions", "classification")]
    assert new == [25, 2.8, 1.8]
    assert sum(weights.values()) == pytest.approx(2 * sum(new))


def test_base_paper_at_full_size_has_the_paper_s_parameters_and_takes_its_frames() -> None:
    """On torch's meta device, with the architectures of the hub's config files written out."""
    vision = VJEPA2Config(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, crop_size=256)
    predictor = LlamaConfig(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=128_256, max_position_embeddings=131_072,
    )  # fmt: skip
    text = Gemma3TextConfig(
        hidden_size=768, intermediate_size=1152, num_hidden_layers=24, num_attention_heads=3, num_key_value_heads=1,
        head_dim=256, vocab_size=262_144, max_position_embeddings=2048, use_bidirectional_attention=True,
    )  # fmt: skip
    run = load_stages(BASE)["long_video"]
    model = run.model.model_copy(deep=True)
    sections = (model.x_encoder, model.predictor, model.y_encoder)
    for section, config in zip(sections, (vision, predictor, text), strict=True):
        section.part = section.part.model_copy(update={"config": config.to_dict()})
    model.x_encoder.image = ImageConfig.model_validate({**COMMON, "size": (256, 256)})
    model.y_encoder.pooling, model.y_encoder.dense, model.y_encoder.prefix = "mean", [], ""
    plan = plan_run(run.model_copy(update={"model": model}))
    assert plan.trained == pytest.approx(490e6 + 303e6, rel=0.01)  # Predictor and Y-Encoder
    assert plan.frames == 32


def test_base_paper_runs_all_stages_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = small_recipe(BASE, "base", tmp_path)
    sets = ["datacomp", "yfcc100m", "action100m", "vqa", "captions", "classification"]
    write_data(tmp_path / "data", sets)
    words = [f"data.root={tmp_path / 'data'}", f"train.output={tmp_path / 'run'}", "train.steps=2", "data.workers=0"]
    words += ["train.batch_size=12", "stages.images.train.batch_size=10", "stages.sft.train.batch_size=30"]
    words += ["train.precision=fp32", "objective.grad_cache=4"]
    assert main(["train", str(recipe), *words, "--dry-run"]) == 2
    assert "64 positions, the sequence has 72 tokens" in capsys.readouterr().err  # 64 visual ones of 32 frames, and 8
    config = Path(load_stages(recipe)["images"].model.predictor.part.name) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 128}))
    assert main(["train", str(recipe), *words, "--dry-run", "--json"]) == 0
    plans = json.loads(capsys.readouterr().out)
    assert {
        name: (plan["samples"], plan["frames"], plan["missing"], plan["parts"]) for name, plan in plans.items()
    } == {
        "images": (20, 1, [], ""),
        "video": (24, 8, [], ""),
        "long_video": (24, 32, [], ""),
        "sft": (60, 8, [], ""),
    }
    assert not (tmp_path / "run").exists()
    assert main(["train", str(recipe), *words, "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert "stage 4 of 4: sft" in said.err
    model = VLJEPA.from_pretrained(tmp_path / "run" / "sft" / "last")
    assert (model.config.embed_dim, len(model.predictor.backbone.model.layers)) == (1536, 8)


def test_coco_base_open_runs_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_run_config(COCO).model.predictor.dropout == 0.1
    recipe = small_recipe(COCO, "base-open", tmp_path)
    write_data(tmp_path / "data", ["captions.train", "captions.validation"])
    words = [
        f"data.root={tmp_path / 'data'}",
        f"train.output={tmp_path / 'run'}",
        "train.steps=4",
        "train.eval_every=2",
    ]
    words += ["train.batch_size=8", "data.workers=0", f"data.cache.folder={tmp_path / 'cache'}", "train.precision=fp32"]
    words += ["objective.grad_cache=3", "train.eval_every=2"]
    assert main(["train", str(recipe), *words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["steps"] == 4
    assert 0 <= result["metrics"]["coco/main"] <= 1
    assert VLJEPA.from_pretrained(tmp_path / "run" / "best").config.embed_dim == 768


def test_coco_base_aligned_runs_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is trained it is the dual encoder; its towers stay what they are."""
    DUAL_ENCODERS["siglip2"](tmp_path / "dual")
    minilm(tmp_path / "words")
    predictor, start = f"transformers:{tmp_path / 'words'}#1:2", str(tmp_path / "start")
    assert main(["new", "m", "--from", str(tmp_path / "dual"), "--predictor", predictor, "-o", start]) == 0
    write_data(tmp_path / "data", ["captions.train", "captions.validation"])
    words = [f"start={start}", f"data.root={tmp_path / 'data'}", f"train.output={tmp_path / 'run'}", "data.workers=0"]
    words += ["train.steps=4", "train.eval_every=2", "train.batch_size=8", f"data.cache.folder={tmp_path / 'cache'}"]
    assert main(["train", "coco_base_aligned", *words, "train.precision=fp32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    before, after = VLJEPA.from_pretrained(start), VLJEPA.from_pretrained(tmp_path / "run" / "last")
    assert after.predictors()["predictor"].gate.value.any()
    assert before.text_space_hash() == after.text_space_hash()
    assert before.x_encoder_fingerprint() == after.x_encoder_fingerprint()


def test_a_dry_run_says_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = small_recipe(COCO, "base-open", tmp_path)
    part = f"model.x_encoder.part.name={tmp_path / 'absent'}"
    assert main(["train", str(recipe), f"data.root={tmp_path}", part, "--dry-run"]) == 0
    said = capsys.readouterr()
    assert f"not there yet: {tmp_path / 'captions.train.jsonl'}" in said.err
    assert "the model could not be looked at" in said.err
    assert "3,532,800" in said.out
    assert main(["train", str(recipe), "optim.lr=no", "--dry-run"]) == 2
