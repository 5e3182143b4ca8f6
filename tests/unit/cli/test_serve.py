"""What `vljepa serve` refuses before it loads a model."""

import socket
import sys

import pytest

from vljepa.cli.main import main


def test_without_its_extra_it_says_which_one(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fastapi", None)  # as if it were not installed
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert "needs 'fastapi'" in said
    assert 'pip install "vljepa-torch[serve]"' in said


@pytest.mark.parametrize("key", ["", "two words", "caf\u00e9"])
def test_a_key_that_no_header_carries_is_refused(key, capsys):
    assert main(["serve", "--api-key", key]) == 2
    assert "--api-key" in capsys.readouterr().err


def test_a_port_in_use_is_an_error_of_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_a_width_below_the_model_s_is_refused():
    from types import SimpleNamespace

    from vljepa.errors import ConfigError
    from vljepa.serving.service import Service

    model = SimpleNamespace(config=SimpleNamespace(embed_dim=384))
    with pytest.raises(ConfigError, match="less than the model's 384"):
        Service(SimpleNamespace(model=model), name="mini", width=100)
