import pytest
import torch

from vljepa.errors import ConfigError
from vljepa.training.precision import choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("amx", "avx512", "expected"),
    [(False, False, "no"), (True, False, "bf16"), (False, True, "bf16"), (True, True, "bf16")],
)
def test_a_cpu_needs_bf16_in_hardware(monkeypatch, amx, avx512, expected):
    """Row 27. An older CPU would emulate it, three times slower than fp32."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    assert choose_precision("auto", device=CPU) == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "no"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_needs_bf16_in_hardware(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_precision("auto", device=GPU) == expected


def test_a_request_is_obeyed_unless_it_cannot_run():
    assert choose_precision("fp32", device=GPU) == "no"
    assert choose_precision("bf16", device=CPU) == "bf16"
    assert choose_precision("fp16", device=GPU) == "fp16"
    with pytest.raises(ConfigError, match="fp16"):
        choose_precision("fp16", device=CPU)
