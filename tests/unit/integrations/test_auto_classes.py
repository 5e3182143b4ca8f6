"""`import vljepa` tells transformers' auto classes of its models, whatever comes first, and imports none of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset

ORDERS = {
    "vljepa first": "import vljepa; from transformers import AutoModel, AutoProcessor, AutoConfig",
    "transformers first": "from transformers import AutoModel, AutoProcessor, AutoConfig; import vljepa",
    "the processor alone, first": "import vljepa; from transformers import AutoProcessor; "
    "from transformers import AutoConfig, AutoModel",
}
CODE = """
import json, sys
{imports}
model, processor = AutoModel.from_pretrained(sys.argv[1]), AutoProcessor.from_pretrained(sys.argv[1])
config = AutoConfig.from_pretrained(sys.argv[1])
rows = model.encode_text(processor.targets(["a red circle"]))
print(json.dumps({{"rows": rows.tolist(), "type": config.model_type, "model": type(model).__name__,
                  "eval": not model.training, "half": str(AutoModel.from_pretrained(sys.argv[1], dtype="bfloat16")
                  .log_scale.dtype)}}))
"""


def run(code: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=300, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("order", ORDERS)
def test_a_saved_folder_loads(order: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = VLJEPA(load_preset("toy")).eval()
    model.save_pretrained(tmp_path / "model")
    processor = VLJEPAProcessor.from_pretrained(tmp_path / "model")
    got = json.loads(run(CODE.format(imports=ORDERS[order]), str(tmp_path / "model")))
    assert got == {
        "rows": model.encode_text(processor.targets(["a red circle"])).tolist(),
        "type": "vljepa",
        "model": "VLJEPA",
        "eval": True,
        "half": "torch.bfloat16",
    }


def test_importing_vljepa_imports_no_library() -> None:
    code = "import sys, vljepa; print([one for one in ('torch', 'transformers', 'numpy') if one in sys.modules])"
    assert run(code) == "[]"


def test_modules_of_transformers_are_as_without(tmp_path: Path) -> None:
    code = "import vljepa, transformers.models.auto.modeling_auto as m; print(type(m.__loader__).__name__)"
    assert run(code) == "SourceFileLoader"
