"""open_clip: the two towers of a contrastive model, with the preprocessing and the tokenizer of its own config."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa.backends.pixels import fitting
from vljepa.backends.protocols import Contrast, Seen, TextFacts, TextTower, Tokenizer, VisionTower
from vljepa.backends.weights import load_exactly, read_contrast, safetensors_state
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.errors import ConfigError, PartError
from vljepa.parts.folders import read_object
from vljepa.parts.hub import snapshot

_TOKENIZER_FILES = ("tokenizer*.json", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model")


def build_open_clip(spec: PartSpec) -> Any:
    """Two-tower model of open_clip from `config["model_cfg"]`, as in a repository's open_clip_config.json.

    Raises:
        PartError: Its text tower is a model of transformers, whose config open_clip would ask the hub for.
    """
    import open_clip

    assert spec.config is not None
    model_cfg = dict(spec.config["model_cfg"])
    if "hf_model_name" in model_cfg["text_cfg"]:
        raise PartError(
            f"{spec} has a text tower of transformers, {model_cfg['text_cfg']['hf_model_name']!r}.",
            fix="name that as transformers:NAME, or take an open_clip model with a text tower of its own.",
        )
    custom = model_cfg.pop("custom_text", False)
    if custom and "multimodal_cfg" in model_cfg:
        return open_clip.CoCa(**model_cfg)
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**model_cfg)


class OpenClipVision(nn.Module):
    """Vision towers of open_clip; tokens are the last block's, after the tower's final norm."""

    joint_frames = False
    tubelet = 1
    num_classes = 0

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        self.model = build_open_clip(spec).visual.eval()  # in training, a tower may drop patches
        # The final norm of a tower with attentional pooling (CoCa) is that of the pooled tokens, of another width.
        self._normed = getattr(self.model, "attn_pool", None) is None
        size = getattr(self.model, "image_size", (224, 224))
        height, width = size if isinstance(size, tuple) else (size, size)
        with torch.no_grad():
            map_BDHW, pooled = self._run(torch.zeros(1, 3, height, width))
        self.width = int(map_BDHW.shape[1])
        self.pooled_width: int | None = int(pooled.shape[1])
        self._stride = (height // map_BDHW.shape[2], width // map_BDHW.shape[3])

    def forward(self, pixels: Tensor) -> Seen:
        """See `VisionTower`."""
        map_BDHW, pooled = self._run(pixels)
        return Seen(map_BDHW.flatten(2).transpose(1, 2), pooled=pooled)

    def _run(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map of the last block, and the tower's own output."""
        out = self.model.forward_intermediates(
            pixels, indices=1, normalize_intermediates=self._normed, output_fmt="NCHW"
        )
        return out["image_intermediates"][-1], out["image_features"]

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """See `VisionTower`."""
        return height // self._stride[0], width // self._stride[1]

    def read(self, folder: Path) -> dict[str, Tensor]:
        """See `VisionTower`."""
        return _state(folder, prefix="visual.")


class OpenClipText(nn.Module):
    """Text towers of open_clip; their own pooling is the only one they have."""

    def __init__(self, spec: PartSpec) -> None:
        super().__init__()
        self.model = build_open_clip(spec)
        # The vision tower is another part's business; CLIP keeps its text tower spread over the top module.
        self.model.visual = None
        if hasattr(self.model, "text_decoder"):  # CoCa's captioner
            self.model.text_decoder = None
        # So is the temperature between the towers, whose parameters are 0-d: FSDP refuses those.
        self.model.logit_scale = None
        self.model.logit_bias = None
        self.spec = spec
        assert spec.config is not None
        self.width = int(spec.config["model_cfg"]["embed_dim"])

    def features(self, ids_BL: Tensor, mask_BL: Tensor) -> Tensor:
        """See `TextTower`; the mask is not asked, the tower knows where a text ends."""
        del mask_BL
        features: Tensor = self.model.encode_text(ids_BL, normalize=False)
        return features

    def load_pretrained(self, folder: Path) -> None:
        """See `TextTower`."""
        load_exactly(self.model, _state(folder), part=str(self.spec), folder=folder)


class OpenClipTokenizer:
    """Tokenizer of an open_clip text tower: always the tower's context length, as it was trained.

    The tower adds as many positions as its context has, and may read its last one, so a shorter row does not fit it.

    Args:
        tokenizer: The library's own, with its cleaning of texts.
    """

    def __init__(self, tokenizer: Any) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self.tokenizer = tokenizer
        self.context_length = int(tokenizer.context_length)
        self._reads_all = not isinstance(tokenizer, SimpleTokenizer)

    def __call__(self, texts: Sequence[str], *, max_tokens: int) -> tuple[Tensor, Tensor]:
        """See `Tokenizer`, but texts are cut at the context length, whatever `max_tokens` says."""
        del max_tokens
        ids: Tensor = self.tokenizer(list(texts), context_length=self.context_length)
        return ids, torch.ones_like(ids, dtype=torch.bool) if self._reads_all else ids != 0


class OpenClipBackend:
    """See `Backend`."""

    config_file = "open_clip_config.json"
    tokenizer_files = (config_file, *_TOKENIZER_FILES)
    fixed_length = True
    files = ("open_clip_*.json", "open_clip_*.safetensors", *_TOKENIZER_FILES)

    def repository(self, name: str) -> str:
        """Hub id: of `ARCHITECTURE/TAG` from open_clip's own table, of anything else the name itself."""
        import open_clip

        architecture, _, tag = name.partition("/")
        if architecture not in open_clip.list_models():
            return name
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        repository = str(open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub") or "")
        if not repository:
            raise PartError(
                f"open_clip has no weights {tag!r} of {architecture!r} on the hub.",
                fix=f"choose among {', '.join(tags)}, or name a repository as owner/name.",
            )
        return "/".join(repository.split("/")[:2])

    def image(self, part: PartSpec, folder: Path | None) -> dict[str, Any]:
        """From `preprocess_cfg` in open_clip_config.json; the size is the tower's, as in open_clip itself."""
        from open_clip.transform import PreprocessCfg, image_transform_v2, merge_preprocess_dict

        raw = read_object(part, folder / self.config_file) if folder is not None else (part.config or {})
        size = raw["model_cfg"]["vision_cfg"].get("image_size", 224)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        asked = merge_preprocess_dict(PreprocessCfg(), raw.get("preprocess_cfg", {}))
        wanted = PreprocessCfg(**{**asked, "size": (height, width)})
        fill = (wanted.fill_color,) * 3
        fields: dict[str, Any] = {
            "size": (height, width),
            "mean": tuple(wanted.mean),
            "std": tuple(wanted.std),
            "interpolation": "bilinear" if wanted.interpolation == "bilinear" else "bicubic",
            "resize": {"shortest": "shortest_edge", "longest": "pad", "squash": "squash"}[wanted.resize_mode],
        }
        if wanted.resize_mode == "longest":
            fields["fill"] = fill
        library = image_transform_v2(wanted, is_train=False)
        return fitting(fields, library=library, part=str(part))

    def least_frames(self, part: PartSpec) -> int:
        """One: every tower sees images."""
        del part
        return 1

    def vision_tower(self, part: PartSpec) -> VisionTower:
        """See `Backend`."""
        return OpenClipVision(part)

    def contrast(self, part: PartSpec, folder: Path | None) -> Contrast | None:
        """From the weights."""
        del part
        return None if folder is None else read_contrast(folder, prefer="open_clip_")

    def text(self, part: PartSpec, folder: Path | None) -> TextFacts:
        """Its own pooling, and the context length of its config."""
        del folder
        assert part.config is not None
        return TextFacts(pooling="pooler", max_tokens=_context_length(part.config))

    def text_tower(self, config: YEncoderConfig) -> TextTower:
        """See `Backend`."""
        if config.pooling != "pooler":
            raise ConfigError(
                f"y_encoder.pooling = {config.pooling!r}, but open_clip's text towers pool by themselves.",
                fix="set y_encoder.pooling=pooler.",
            )
        return OpenClipText(config.part)

    def tokenizer(self, part: PartSpec, folder: Path | None) -> Tokenizer:
        """The library's own, from the folder; of a random part its byte-pair tokenizer."""
        import open_clip
        from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

        raw = read_object(part, folder / self.config_file) if folder is not None else (part.config or {})
        text_cfg = raw["model_cfg"]["text_cfg"]
        options = {"context_length": _context_length(raw), **text_cfg.get("tokenizer_kwargs", {})}
        name = text_cfg.get("hf_tokenizer_name")
        if not name:
            return OpenClipTokenizer(SimpleTokenizer(**options))
        if folder is not None and _has_tokenizer(folder):
            return OpenClipTokenizer(open_clip.get_tokenizer(f"local-dir:{folder}"))
        if part.source != "hub":
            raise PartError(
                f"{part} lacks its tokenizer {name!r}.",
                fix=f"put the tokenizer's files (tokenizer.json) into {folder}.",
            )
        files = snapshot(name, revision=None, files=_TOKENIZER_FILES)
        return OpenClipTokenizer(HFTokenizer(str(files), tokenizer_mode=text_cfg.get("tokenizer_mode"), **options))


def _context_length(raw: dict[str, Any]) -> int:
    return int(raw["model_cfg"]["text_cfg"].get("context_length", 77))


def _has_tokenizer(folder: Path) -> bool:
    return any(any(folder.glob(pattern)) for pattern in ("tokenizer.json", "vocab.*", "*.model"))


def _state(folder: Path, *, prefix: str = "") -> dict[str, Tensor]:
    """Tensors of open_clip's own file; a repository may hold transformers' or timm's beside it."""
    return safetensors_state(folder, prefix=prefix, prefer="open_clip_")
