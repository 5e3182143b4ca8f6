"""Fit what mini knows of names, once it is trained: ``python recipes/mini/calibrate.py MODEL data/mini``.

A training does this at its end. This is for a model that was trained before: it writes the weight of the evidence and
the open-set factors of both into the folder's config.json, and leaves the temperatures as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_run_config
from vljepa.data.images import LiveImages
from vljepa.data.sources import load_source
from vljepa.errors import VLJEPAError
from vljepa.validation.calibration import calibrate
from vljepa.validation.encoder import Encoder
from vljepa.validation.tasks import RetrievalTask

RECIPE = Path(__file__).resolve().parents[1] / "mini.yaml"
FITTED = {"evidence", "open_set", "search"}


def main(arguments: list[str] | None = None) -> int:
    """Read the recipe's captioned validation sources, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the trained model")
    parser.add_argument("data", type=Path, help="folder that prepare.py has made")
    given = parser.parse_args(arguments)
    try:
        data = load_run_config(RECIPE, [f"data.root={given.data}"]).data
        captioned = [source for source in data.validation if source.task == "retrieval"]
        records = {source.name: load_source(source, root=data.root) for source in captioned}
        model, processor = VLJEPA.from_pretrained(given.model), VLJEPAProcessor.from_pretrained(given.model)
    except VLJEPAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    current = model.config.calibration
    tasks = [RetrievalTask(*source, caption_prompt=model.config.prompts.caption) for source in records.items()]
    encoder = Encoder(model, processor, images=LiveImages(processor))
    calibration, metrics = calibrate(tasks, encoder=encoder, current=current)
    file = given.model / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["calibration"] |= calibration.model_dump(mode="json", include=FITTED)
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    for name, value in metrics.items():
        print(f"{name} {value:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
