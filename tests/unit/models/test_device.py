import pytest
import torch

from vljepa.errors import ConfigError
from vljepa.models.device import resolve_device


def test_without_a_name_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device().type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device().type == "cpu"


def test_cuda_asked_but_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="'cuda' needs a CUDA GPU"):
        resolve_device("cuda")


def test_a_gpu_number_beyond_those_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert str(resolve_device("cuda:1")) == "cuda:1"
    with pytest.raises(ConfigError, match="finds 2"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu:-1"])
def test_an_unknown_device(name):
    with pytest.raises(ConfigError, match="device"):
        resolve_device(name)
