"""Recipes that go on from a finished model: what it knew is kept by default, and without the images they say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.models.test_aligned import dual
from vljepa.cli.recipe import find_recipe
from vljepa.configs import LabelPriorConfig, load_run_config
from vljepa.errors import ConfigError
from vljepa.methods.vision_language.checks import check_run
from vljepa.parts.saved import read_config, saved_folder

MINI = ["lora_retrieval", "lora_vqa"]
ALIGNED = ["aligned_vqa", "aligned_lora", "aligned_captions"]


@pytest.mark.parametrize("name", [*MINI, "aligned_lora", "aligned_captions"])
def test_what_the_start_knew_is_kept(name: str) -> None:
    run = load_run_config(find_recipe(name))
    assert run.objective.distillation >= 5
    assert run.data.replay is not None
    assert run.data.replay.path == "mini:replay"
    config = dual().config if name in ALIGNED else read_config(saved_folder("mini"))
    check_run(run, config)
    with pytest.raises(ConfigError, match=r"set data\.replay\.path"):
        check_run(load_run_config(find_recipe(name), ["data.replay=null"]), config)


def test_questions_for_a_dual_encoder_need_no_guard() -> None:
    """Every row has a question, and the gate without one stays shut."""
    run = load_run_config(find_recipe("aligned_vqa"))
    assert run.data.replay is None
    assert run.objective.distillation == 0
    check_run(run, dual().config)


@pytest.mark.parametrize("name", ALIGNED)
def test_aligned_recipes_start_from_the_folder_that_new_makes(name: str) -> None:
    text = Path(find_recipe(name)).read_text(encoding="utf-8")
    run = load_run_config(find_recipe(name))
    assert f"-o {run.start}\n" in text
    assert (run.lora is not None) == (name == "aligned_lora")
    if run.lora is not None:
        assert run.lora.parts == ["predictor"], "the texts stay where they are"
        return
    if run.objective.distillation == 0:
        return
    mini = read_config(saved_folder("mini"))
    assert isinstance(mini.residual, LabelPriorConfig)
    with pytest.raises(ConfigError, match="nothing is left of the start"):
        check_run(run, mini)
