"""recipes/accelerate: what Accelerate's own loader and launcher make of the files."""

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from tests.launching import CONFIGS, launch_environment

FILES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


def test_there_is_one_for_each_layout():
    assert FILES == ["cpu.yaml", "ddp.yaml", "fsdp2.yaml", "gpu.yaml", "zero2.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_accelerate_takes_every_key(name, tmp_path):
    raw = yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8"))
    config = load_config_from_file(str(CONFIGS / name))
    assert config.num_processes == raw["num_processes"]
    for key, value in raw.get("fsdp_config", {}).items():  # of these it checks nothing
        assert launch_environment(name)[key.upper()] == (value if isinstance(value, str) else str(value).lower())
    broken = tmp_path / "broken.yaml"
    broken.write_text(yaml.safe_dump(raw | {"num_proceses": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match="num_proceses"):
        load_config_from_file(str(broken))


def test_what_the_layouts_ask_for():
    sharded, zero, plain = (launch_environment(name) for name in ("fsdp2.yaml", "zero2.yaml", "ddp.yaml"))
    assert sharded["ACCELERATE_USE_FSDP"] == zero["ACCELERATE_USE_FSDP"] == "true"
    assert sharded["FSDP_VERSION"] == zero["FSDP_VERSION"] == "2"
    assert (sharded["FSDP_RESHARD_AFTER_FORWARD"], zero["FSDP_RESHARD_AFTER_FORWARD"]) == ("true", "false")
    assert "ACCELERATE_USE_FSDP" not in plain
