"""A model as a repository of the hub: everything that it needs, and a card that says what is known of it."""

from __future__ import annotations

import re
from pathlib import Path

from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.errors import ConfigError
from vljepa.parts.saved import DECODER_FOLDER, TOKENIZERS_FOLDER

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_CARD = """---
library_name: vljepa
license: {license}
pipeline_tag: zero-shot-image-classification
tags: [vision-language, JEPA, retrieval, VQA{captioning}]
---

# {title}

A VL-JEPA model: it predicts the embedding of the answer, and makes words of it only where words are asked for. Made
with `pip install vljepa-torch`.

```python
import vljepa

vl = vljepa.load("{name}")
vl.similarity("photo.jpg", ["a cat", "a dog"])
vl.classify("photo.jpg", ["cat", "dog"])
vl.ask("photo.jpg", "what colour is it?", ["red", "green"])
{words}```

`transformers.AutoModel` and `AutoProcessor` load it too, after `import vljepa`.

| | |
|---|---|
| X-Encoder | `{x_encoder}` |
| Predictor | `{predictor}` |
| Y-Encoder | `{y_encoder}` |
| Residual | {residual} |
| Embeddings | {width} numbers, unit length, images and texts in one space |
| Images | {image} |
| Videos | {clips} |
| Texts | at most {tokens} tokens{prefix} |
| Words | {decoder} |
| Parameters | {parameters} |

The repository is whole: weights of every part, tokenizers (`{tokenizers}/`), preprocessing
(`config.json`){decoder_folder}.

## Licence

Of what was trained here: apache-2.0. The parts above, whose weights are in this repository, and the data keep their own
licences: check that you may share them.

## Training data and results

Say here what it was trained on, how it was measured, and what it cannot do.
"""


def export_hub(model: VLJEPA, folder: Path, *, name: str) -> None:
    """Write all of a model, and its card.

    Args:
        model: Without adapters.
        folder: To write.
        name: Of the repository, for the card.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(model_card(model, name=name), encoding="utf-8")
    model.save_pretrained(folder, full=True)


def push(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder that `export_hub` has written; makes the repository where it is not there.

    Args:
        folder: To upload.
        repository: `owner/name`.
        private: Of a new repository.

    Returns:
        Its address.

    Raises:
        ConfigError: No such name, no permission, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, errors

    check_repository(repository)
    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload by vljepa")
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise ConfigError(
            f"the hub did not take {repository!r}: {str(error).splitlines()[0]}",
            fix="check the name, log in with `hf auth login`, "
            f"and unset HF_HUB_OFFLINE; the folder is written: `hf upload {repository} {folder}` goes on.",
        ) from error
    return str(address)


def check_repository(name: str) -> None:
    """Refuse a name that the hub would refuse, before hours of work.

    Raises:
        ConfigError: It is no `owner/name` as the hub has them.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ConfigError(f"{name!r} names no repository: {error}", fix="write it as owner/name.") from error
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} names no repository.", fix="write it as owner/name.")


def model_card(model: VLJEPA, *, name: str) -> str:
    """README.md of the repository: what is known of the model, and a place for what only its maker knows."""
    config, has_words = model.config, model.y_decoder is not None
    image, clips = config.x_encoder.image, config.clips
    assert image.size is not None
    parts = (config.x_encoder.part, config.predictor.part, config.y_encoder.part)
    return _CARD.format(
        title=name.rsplit("/", 1)[-1],
        license="apache-2.0" if all(part.source in ("asset", "random") for part in parts) else "other",
        name=name,
        captioning=", captioning" if has_words else "",
        words='vl.caption("photo.jpg")\n' if has_words else "",
        x_encoder=config.x_encoder.part,
        predictor=config.predictor.part,
        y_encoder=config.y_encoder.part,
        residual="none" if config.residual is None else config.residual.name,
        width=config.embed_dim,
        image=f"{image.size[0]} x {image.size[1]} pixels, {image.resize}, {image.interpolation}",
        clips="none" if clips is None else f"{clips.frames} frames, at most {clips.max_frames}",
        tokens=config.y_encoder.max_tokens,
        prefix=f", after {config.y_encoder.prefix!r}" if config.y_encoder.prefix else "",
        decoder="a Y-Decoder of its own" if has_words else "none: answers are chosen from candidates",
        parameters=f"{sum(one.numel() for one in model.parameters()) / 1e6:.1f} M",
        tokenizers=TOKENIZERS_FOLDER,
        decoder_folder=f" and Y-Decoder (`{DECODER_FOLDER}/`)" if has_words else "",
    )
