"""The whole training of a VL-JEPA in plain PyTorch, on public names: read it in five minutes, then change it.

    python recipes/scripts/minimal_loop.py PATH/TO/FOLDER --output runs/minimal

The folder has images and captions.csv with the columns image and text. What `vljepa train` adds: resume, validation,
a cache on disk, augmentation, mixtures of sources, many processes, LoRA. The model saved here loads everywhere.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path

import torch
from torch import Tensor

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset
from vljepa.models.types import Batch, Latents
from vljepa.objectives import Positives, infonce


def build(preset: str) -> tuple[VLJEPA, VLJEPAProcessor]:
    """A model at the start of its training: pretrained frozen encoders, a predictor to be trained."""
    config = load_preset(preset)
    config.residual = None  # what a classifier knows; the recipe of mini uses it, the idea does not need it
    model = VLJEPA.from_parts(config)
    return model, VLJEPAProcessor(model.config, tokenizers=model.tokenizers)


def read(folder: Path) -> tuple[list[Path], list[str]]:
    """Images and their captions; an image may come more than once."""
    with (folder / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [folder / row["image"] for row in rows], [row["text"] for row in rows]


@torch.no_grad()
def encode(model: VLJEPA, processor: VLJEPAProcessor, images: list[Path]) -> Latents:
    """Visual tokens of all images: the X-Encoder is frozen, so once is enough."""
    pieces = [model.encode_vision(processor.images(images[at : at + 8])) for at in range(0, len(images), 8)]
    return Latents(torch.cat([one.tokens_BND for one in pieces]), torch.cat([one.mask_BN for one in pieces]))


def train(
    folder: Path, *, preset: str, steps: int, batch_size: int, lr: float, seed: int = 0
) -> tuple[VLJEPA, list[float]]:
    """Train on the images of a folder; the model and the loss of each step."""
    torch.manual_seed(seed)
    model, processor = build(preset)
    images, texts = read(folder)
    different = list(dict.fromkeys(images))
    latents = encode(model, processor, different)
    image_ids = torch.tensor([different.index(image) for image in images])
    text_ids = torch.tensor([texts.index(text) for text in texts])
    query = model.config.prompts.caption

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.05)
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / steps))
    )
    losses = []
    model.train()
    for step in range(steps):
        rows: Tensor = torch.randperm(len(images))[:batch_size]
        seen = image_ids[rows]
        batch = Batch(
            latents=latents.choose(seen),
            query=processor.queries([query] * len(rows)) if query else None,
            target=processor.targets([texts[int(row)] for row in rows]),
        )
        output = model(batch)  # S_hat_Y and S_Y
        loss = infonce(
            output.prediction_BD,
            output.target_BD,
            logit_scale=output.logit_scale,
            positives=Positives(image_ids[rows], text_ids[rows]),  # the same image, or the same words
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 10 == 0:
            print(f"step {step + 1}/{steps}  loss {sum(losses[-10:]) / len(losses[-10:]):.3f}")
    return model.eval(), losses


def main() -> None:
    """Train as the command line says, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--output", type=Path, default=Path("runs/minimal"))
    given = parser.parse_args()
    model, _ = train(given.folder, preset=given.preset, steps=given.steps, batch_size=given.batch_size, lr=given.lr)
    model.save_pretrained(given.output)
    print(f"saved: {given.output}; try `vljepa classify IMAGE --labels a,b --model {given.output}`")


if __name__ == "__main__":
    main()
