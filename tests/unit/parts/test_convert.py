"""Names of the lite0 checkpoint on timm's, and that a pickle cannot run code."""

import os
import pickle

import pytest

from tests.unit.parts.tiny_asset import tiny_asset
from vljepa.parts.convert import convert, timm_lite0_key
from vljepa.parts.manifest import Member


@pytest.mark.parametrize(
    ("theirs", "timms"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_mean", "bn1.running_mean"),
        ("_bn1.bias", "bn2.bias"),
        ("_fc.weight", "classifier.weight"),
        ("_blocks.0._bn1.weight", "blocks.0.0.bn1.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.1._expand_conv.weight", "blocks.1.0.conv_pw.weight"),
        ("_blocks.4._bn2.weight", "blocks.2.1.bn3.weight"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
    ],
)
def test_names_map_onto_timms(theirs, timms):
    assert timm_lite0_key(theirs) == timms


def lite0_checkpoint():
    """Random weights under the checkpoint's names, by inverting the map over all names that it knows."""
    import timm

    known = ["_conv_stem", "_bn0", "_conv_head", "_bn1", "_fc"]
    modules = ["_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
    known += [f"_blocks.{block}.{module}" for block in range(16) for module in (modules if block else modules[2:])]
    tensors = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    theirs = {timm_lite0_key(f"{module}.{tensor}"): f"{module}.{tensor}" for module in known for tensor in tensors}
    state = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    return {theirs[key]: value for key, value in state.items()}, state


def lite_asset():
    return tiny_asset(converter="efficientnet-lite", members=(Member("tiny/lite.pth", "", 0),))


def test_every_tensor_arrives_under_timms_name(tmp_path):
    import torch
    from safetensors.torch import load_file

    checkpoint, state = lite0_checkpoint()
    torch.save(checkpoint, tmp_path / "lite.pth")
    (tmp_path / "out").mkdir()
    convert(lite_asset(), tmp_path, tmp_path / "out")
    converted = load_file(tmp_path / "out" / "model.safetensors")
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[key], state[key]) for key in state)


def test_missing_tensor_is_refused(tmp_path):
    import torch

    checkpoint, _ = lite0_checkpoint()
    del checkpoint["_fc.bias"]
    torch.save(checkpoint, tmp_path / "lite.pth")
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match=r"classifier\.bias"):
        convert(lite_asset(), tmp_path, tmp_path / "out")


def test_pickle_cannot_run_code(tmp_path):
    import torch

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "was_here"),))

    torch.save({"_fc.bias": Evil()}, tmp_path / "lite.pth")
    (tmp_path / "out").mkdir()
    with pytest.raises(pickle.UnpicklingError):
        convert(lite_asset(), tmp_path, tmp_path / "out")
    assert not (tmp_path / "was_here").exists()
    torch.load(tmp_path / "lite.pth", weights_only=False)  # negative control: it does bite
    assert (tmp_path / "was_here").exists()
