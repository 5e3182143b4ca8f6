"""The real parts of `mini`, as every other module relies on them. They are in the default cache by now."""

import pytest

from vljepa.parts.manifest import ASSETS, MINI_ASSETS
from vljepa.parts.store import asset_folder, is_fetched, verify

pytestmark = pytest.mark.assets


@pytest.mark.parametrize("name", MINI_ASSETS)
def test_parts_of_mini_are_whole(name):
    assert verify(name) == []


def test_lite0_loads_strictly_into_timm():
    import timm
    import torch
    from safetensors.torch import load_file

    from vljepa.backends import part_config
    from vljepa.configs import PartSpec

    config = part_config(PartSpec.model_validate("timm:asset/efficientnet-lite0"))
    assert config == {"architecture": "tf_efficientnet_lite0", "num_classes": 1000}
    model = timm.create_model(config["architecture"], num_classes=config["num_classes"]).eval()
    model.load_state_dict(load_file(asset_folder("efficientnet-lite0") / "model.safetensors"), strict=True)
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 224, 224)).isfinite().all()


def test_minilm_puts_like_near_like():
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = asset_folder("minilm-l6-v2")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    batch = tokenizer(["a red fish", "a crimson fish", "stock markets fell"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    assert vectors.shape == (3, 384)
    assert vectors[0] @ vectors[1] > 0.5 > 0.3 > vectors[0] @ vectors[2]


def test_folder_sizes_in_the_manifest_are_about_right():
    for name in ASSETS:
        if is_fetched(name):
            size = sum(path.stat().st_size for path in asset_folder(name).iterdir())
            assert size == pytest.approx(ASSETS[name].folder_size, rel=0.01)
