"""Where a saved model lives."""

from __future__ import annotations

import pytest

from vljepa.configs import load_preset
from vljepa.errors import CheckpointError, ConfigError
from vljepa.parts.saved import CONFIG_FILE, WEIGHTS_FILE, read_config, saved_folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / CONFIG_FILE).write_text(load_preset("toy").model_dump_json())
    (tmp_path / WEIGHTS_FILE).write_bytes(b"")
    return tmp_path


def test_a_folder_with_both_files_is_a_saved_model(folder):
    assert saved_folder(folder) == folder
    assert read_config(folder) == load_preset("toy")


def test_mini_is_shipped_inside_the_package():
    assert read_config(saved_folder("mini")).embed_dim == load_preset("mini").embed_dim


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_folder_that_lacks_a_file_is_none(folder, file):
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match="is not a saved VL-JEPA model"):
        saved_folder(folder)


@pytest.mark.parametrize("name", ["toy", "base"])
def test_a_preset_without_weights_says_how_to_get_some(name):
    with pytest.raises(CheckpointError, match=r"ships without trained weights.*from_parts"):
        saved_folder(name)


def test_a_broken_config_is_named(folder):
    (folder / CONFIG_FILE).write_text("{")
    with pytest.raises(CheckpointError, match="not readable"):
        read_config(folder)
    (folder / CONFIG_FILE).write_text("{}")
    with pytest.raises(ConfigError, match="is missing"):
        read_config(folder)
