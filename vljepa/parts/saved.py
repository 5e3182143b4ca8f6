"""Where a saved model lives: shipped inside the package, a folder, or a hub repository."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from vljepa.configs import VLJEPAConfig, YDecoderConfig, preset_names, validate
from vljepa.errors import CheckpointError
from vljepa.parts.hub import snapshot

CONFIG_FILE = "config.json"
MODEL_TYPE = "vljepa"
"""What config.json says of itself, so that transformers' auto classes find their way here."""
WEIGHTS_FILE = "model.safetensors"
LEXICON_FILE, PHRASES_FILE = "lexicon.txt", "phrases.txt"
VOCABULARY_FILE = "tokenizer.model"
ADAPTER_FILE = "adapter_config.json"
"""Of a folder of adapters in peft's own format."""
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
BASE_FILE = "vljepa_base.json"
"""Which model adapters belong to: its name and its fingerprint."""
REPLAY_FILE = "replay.parquet"
"""Images that a model brings along, to be replayed when it is trained on others."""
CAPTIONS_FILE = "captions.txt"
"""Captions that a model brings along, from which a Y-Decoder can learn words."""
DECODER_FOLDER = "y_decoder"
"""Of a model's own Y-Decoder, inside the model's folder."""
TOKENIZER_FOLDER = "tokenizer"
"""Of a whole Y-Decoder from a pretrained language model: that one's tokenizer."""
TOKENIZERS_FOLDER = "tokenizers"
"""Of a whole model: a folder of files for each text part, by its slot."""
_FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    ADAPTER_FILE,
    BASE_FILE,
    ADAPTER_WEIGHTS_FILE,
    REPLAY_FILE,
    CAPTIONS_FILE,
    *(f"{DECODER_FOLDER}/{name}" for name in (CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE, LEXICON_FILE, PHRASES_FILE)),
    *(
        f"{folder}/*{ending}"
        for folder in (TOKENIZERS_FOLDER, f"{DECODER_FOLDER}/{TOKENIZER_FOLDER}")
        for ending in (".json", ".txt", ".model", ".jinja")
    ),
)
"""Of a model in a hub repository: no pickle and no code."""


def replay_file(name: str) -> Path:
    """Table of the images that a saved model brings along, so that it can be trained on others and forget nothing.

    Raises:
        CheckpointError: There is no such model, or it brings none.
    """
    fix = "give a folder of images of any kind, such as it has to go on knowing."
    return _brought(name, REPLAY_FILE, what="images to be replayed", fix=fix)


def captions_file(name: str) -> Path:
    """Captions that a saved model brings along, one in each line.

    Raises:
        CheckpointError: There is no such model, or it brings none.
    """
    return _brought(name, CAPTIONS_FILE, what="captions", fix="use mini:captions, or a text file of your own.")


def _brought(name: str, file: str, *, what: str, fix: str) -> Path:
    place = saved_folder(name) / file
    if not place.is_file():
        raise CheckpointError(f"the model {name!r} brings no {what}.", fix=fix)
    return place


def saved_folder(name: str | Path, *, revision: str | None = None) -> Path:
    """Local folder of a saved model: a shipped preset ("mini"), a folder, or a hub repository.

    Raises:
        CheckpointError: A preset that ships without weights, or a folder that holds no saved model.
        PartError: A hub repository that cannot be had.
    """
    text = str(name)
    shipped = Path(str(resources.files("vljepa"))) / "pretrained" / text
    if text in preset_names():
        if (shipped / CONFIG_FILE).is_file():
            return shipped
        raise CheckpointError(
            f"the preset {text!r} ships without trained weights.",
            fix=f"train it: VLJEPA.from_parts(load_preset({text!r})), or use 'mini'.",
        )
    folder = Path(text).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or text.startswith(".") or text.count("/") != 1:
            raise CheckpointError(
                f"there is no model {text!r}.",
                fix="use 'mini', a folder of a saved model, a hub repository, or aligned: and a dual encoder.",
            )
        folder = snapshot(text, revision=revision, files=_FILES)
    weights = ADAPTER_FILE if (folder / ADAPTER_FILE).is_file() else WEIGHTS_FILE
    if not (folder / CONFIG_FILE).is_file() or not (folder / weights).is_file():
        raise CheckpointError(
            f"{text!r} is not a saved VL-JEPA model.", fix=f"point at a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
        )
    return folder


def read_config(folder: Path) -> VLJEPAConfig:
    """Config of a saved model.

    Raises:
        CheckpointError: The file is not JSON.
        ConfigError: The file says what no model of this version understands.
    """
    raw = _read_json(folder / CONFIG_FILE)
    if isinstance(raw, dict) and raw.get("model_type") == MODEL_TYPE:
        del raw["model_type"]
    return validate(VLJEPAConfig, raw, where=str(folder / CONFIG_FILE))


def write_config(config: VLJEPAConfig, folder: Path) -> None:
    """Write config.json as `read_config` reads it."""
    raw = {"model_type": MODEL_TYPE, **config.model_dump(mode="json")}
    (folder / CONFIG_FILE).write_text(json.dumps(raw, indent=2), encoding="utf-8")


def read_adapter_base(folder: Path) -> tuple[str, str]:
    """Name and fingerprint of the model that a folder's adapters were trained on.

    Raises:
        CheckpointError: The folder does not say.
    """
    raw = _read_json(folder / BASE_FILE)
    if not isinstance(raw, dict) or not isinstance(raw.get("base"), str) or not isinstance(raw.get("fingerprint"), str):
        raise CheckpointError(
            f"{str(folder / BASE_FILE)!r} does not name the adapters' base.", fix="save the adapters again."
        )
    return raw["base"], raw["fingerprint"]


def decoder_folder(folder: Path) -> Path | None:
    """Y-Decoder of a saved model; that of adapters is the one of the model that they adapt.

    Raises:
        CheckpointError: The folder holds adapters that do not name their base.
    """
    if (folder / ADAPTER_FILE).is_file():
        return decoder_folder(adapted_folder(folder))
    return folder / DECODER_FOLDER if (folder / DECODER_FOLDER).is_dir() else None


def adapted_folder(folder: Path) -> Path:
    """Local folder of the model that a folder's adapters belong to.

    Raises:
        CheckpointError: It is not there, is not named, or holds adapters itself.
    """
    base = saved_folder(read_adapter_base(folder)[0])
    if (base / ADAPTER_FILE).is_file():
        raise CheckpointError(
            f"the adapters in {str(folder)!r} belong to adapters: {str(base)!r}.",
            fix="merge those first: `vljepa export MODEL OUT --merge`.",
        )
    return base


def tokenizers_folder(folder: Path) -> Path | None:
    """Tokenizers of a model that was saved whole; those of adapters are the ones of the model that they adapt."""
    if (folder / ADAPTER_FILE).is_file():
        return tokenizers_folder(adapted_folder(folder))
    return folder / TOKENIZERS_FOLDER if (folder / TOKENIZERS_FOLDER).is_dir() else None


def read_decoder_config(folder: Path) -> YDecoderConfig:
    """Config of a saved Y-Decoder.

    Raises:
        CheckpointError: The folder holds none, or the file is not JSON.
        ConfigError: The file says what no decoder of this version understands.
    """
    path = folder / CONFIG_FILE
    if not path.is_file() or not (folder / WEIGHTS_FILE).is_file():
        raise CheckpointError(
            f"{str(folder)!r} holds no Y-Decoder.", fix=f"point at a folder with {CONFIG_FILE} and {WEIGHTS_FILE}."
        )
    return validate(YDecoderConfig, _read_json(path), where=str(path))


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{str(path)!r} is not readable: {error}.", fix="save it again.") from error


def write_lines(texts: Sequence[str], file: Path) -> None:
    """Write texts, one per line; no file for none."""
    if texts:
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")


def read_lines(file: Path) -> tuple[str, ...]:
    """Texts of a file, one per line; none where there is no file."""
    return tuple(file.read_text(encoding="utf-8").split("\n")[:-1]) if file.is_file() else ()
