"""A small dual encoder with real weights: ``python recipes/mini/dual_encoder.py DATA FOLDER``.

EfficientNet-lite0 and MiniLM behind linear heads, as a `VisionTextDualEncoder` of transformers, so that everything
that `aligned:` offers can be tried without a hub. Only the heads are trained, by InfoNCE on mini's images with
captions, and on the classes of EfficientNet's own classifier: the features of a class are drawn around its mean, which
follows from the classifier's weights and the covariance of the features (linear discriminant analysis), and its text is
its name.

A few minutes on two cores, most of them for the features of the images. FOLDER is then a model for `aligned:FOLDER`,
and FOLDER/heads.safetensors holds what was trained: ``assemble`` makes the same folder of it again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vljepa.backends import part_folder
from vljepa.configs import ImageConfig, PartSpec, load_preset
from vljepa.models.cpu import keep_freed_memory
from vljepa.objectives.infonce import infonce
from vljepa.objectives.positives import Positives
from vljepa.processing.image import ImageTransform, open_image
from vljepa.processing.taxonomy import Taxonomy

WIDTH = 256
SOURCES = ("photos", "emoji", "clipart")
TEMPLATES = ("a photo of a {}.", "{}", "a picture of {}")
STEPS, LR, WEIGHT_DECAY = 1500, 1e-3, 0.05
QUOTAS = {"photos": 64, "emoji": 192, "clipart": 64, "classes": 192}
SURE = 0.7
"""Probability that the classifier gives to the class whose mean a feature is drawn around."""
_PREPROCESSING = {
    "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": 248}, "resample": 3,
    "do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_rescale": True,
    "rescale_factor": 1 / 255, "do_normalize": True, "do_convert_rgb": True,
    "image_mean": [0.498039] * 3, "image_std": [0.501961] * 3,
}  # fmt: skip


class Heads(nn.Module):
    """What is trained: pooled features of both towers to the shared space."""

    def __init__(self) -> None:
        super().__init__()
        self.visual_projection = nn.Linear(1280, WIDTH, bias=False)
        self.pooler = nn.Linear(384, 384)
        self.text_projection = nn.Linear(384, WIDTH, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor([np.log(1 / 0.07)], dtype=torch.float32))

    def images(self, features: Tensor) -> Tensor:
        """Embeddings [N, D] of images, unit norm."""
        return F.normalize(self.visual_projection(features), dim=-1)

    def texts(self, features: Tensor) -> Tensor:
        """Embeddings [N, D] of texts, unit norm."""
        return F.normalize(self.text_projection(torch.tanh(self.pooler(features))), dim=-1)


def assemble(folder: Path, heads: dict[str, Tensor]) -> None:
    """Write the dual encoder's folder of the fetched towers and trained heads."""
    from transformers import (
        AutoTokenizer,
        BertConfig,
        TimmWrapperConfig,
        VisionTextDualEncoderConfig,
        VisionTextDualEncoderModel,
    )

    vision, text = (part_folder(PartSpec.model_validate(name)) for name in _towers())
    bert = BertConfig.from_pretrained(text)
    timm = TimmWrapperConfig(architecture="tf_efficientnet_lite0", num_labels=0, hidden_size=1280)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(timm, bert, projection_dim=WIDTH)
    model = VisionTextDualEncoderModel(config)
    state = model.state_dict()
    for name, tensor in load_file(vision / "model.safetensors").items():
        if f"vision_model.timm_model.{name}" in state:
            state[f"vision_model.timm_model.{name}"] = tensor
    for name, tensor in load_file(text / "model.safetensors").items():
        if f"text_model.{name.removeprefix('bert.')}" in state:
            state[f"text_model.{name.removeprefix('bert.')}"] = tensor
    named = {
        "visual_projection.weight": "visual_projection.weight",
        "text_projection.weight": "text_projection.weight",
        "pooler.weight": "text_model.pooler.dense.weight",
        "pooler.bias": "text_model.pooler.dense.bias",
    }
    for name, tensor in heads.items():
        if name in named:
            state[named[name]] = tensor.float()
    state["logit_scale"] = heads["logit_scale"].float().reshape(())
    model.load_state_dict(state)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSING, indent=2), encoding="utf-8")
    AutoTokenizer.from_pretrained(text).save_pretrained(folder)


def _towers() -> tuple[str, str]:
    mini = load_preset("mini")
    return str(mini.x_encoder.part), str(mini.y_encoder.part)


@torch.no_grad()
def image_features(model: Any, paths: list[Path]) -> Tensor:
    """Pooled features of the vision tower, [N, 1280]."""
    transform = ImageTransform(
        ImageConfig(
            size=(224, 224), mean=(0.498039,) * 3, std=(0.501961,) * 3, resize="shortest_edge", resize_to=248,
            interpolation="bicubic", resampler="torchvision", rounding="down",
        )
    )  # fmt: skip
    found = []
    for start in range(0, len(paths), 16):
        pixels = [transform(open_image(path, max_pixels=10**9)) for path in paths[start : start + 16]]
        found.append(model.vision_model(torch.stack(pixels)).pooler_output)
    return torch.cat(found)


@torch.no_grad()
def text_features(model: Any, tokenizer: Any, texts: list[str]) -> Tensor:
    """First token of the text tower, [N, 384]."""
    found = []
    for start in range(0, len(texts), 128):
        batch = tokenizer(texts[start : start + 128], padding=True, truncation=True, max_length=64, return_tensors="pt")
        found.append(model.text_model(**batch).last_hidden_state[:, 0])
    return torch.cat(found)


class Classes:
    """Features of the classifier's classes, drawn around their means.

    Args:
        real_NF: Features of real images, for mean and covariance.
    """

    def __init__(self, real_NF: Tensor) -> None:
        tensors = load_file(part_folder(PartSpec.model_validate(_towers()[0])) / "model.safetensors")
        weight_KF, bias_K = tensors["classifier.weight"].float(), tensors["classifier.bias"].float()
        self.mean_F = real_NF.mean(0)
        centred_NF = real_NF - self.mean_F
        self.noise_NF = centred_NF / len(real_NF) ** 0.5
        along_KF = weight_KF @ self.noise_NF.T @ self.noise_NF
        low, high = torch.zeros(len(weight_KF)), torch.full((len(weight_KF),), 100.0)
        for _ in range(30):  # as far along as the classifier is sure
            middle = (low + high) / 2
            logits_KK = (self.mean_F + middle[:, None] * along_KF) @ weight_KF.T + bias_K
            sure = logits_KK.softmax(-1).diagonal() > SURE
            low, high = torch.where(sure, low, middle), torch.where(sure, middle, high)
        self.means_KF = self.mean_F + high[:, None] * along_KF
        self.reached = (
            (((self.means_KF @ weight_KF.T) + bias_K).argmax(-1) == torch.arange(len(weight_KF))).float().mean()
        )

    def draw(self, numbers: Tensor, generator: torch.Generator) -> Tensor:
        """One feature for each class number, with half of the real spread around its mean."""
        weights = torch.randn(len(numbers), len(self.noise_NF), generator=generator)
        return self.means_KF[numbers] + 0.5 * weights @ self.noise_NF


def train(data: Path, folder: Path, *, seed: int) -> dict[str, Tensor]:
    """Heads, trained on the train split."""
    from transformers import AutoTokenizer, VisionTextDualEncoderModel

    torch.manual_seed(seed)
    heads = Heads()
    assemble(folder, {**heads.state_dict()})
    model = VisionTextDualEncoderModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    images: dict[str, Tensor] = {}
    texts: dict[str, list[list[str]]] = {}
    for source in SOURCES:
        lines = (data / source / "captions.train.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        images[source] = image_features(model, [data / source / row["image"] for row in rows])
        texts[source] = [row["text"] for row in rows]
        print(f"{source}: {len(rows)} images", flush=True)
    classes = Classes(torch.cat([images["photos"], images["clipart"]]))
    print(f"class means that the classifier names right: {classes.reached:.3f}")
    taxonomy = Taxonomy.of("imagenet-1k")
    texts["classes"] = [
        [template.format(name) for name in taxonomy.names_of(number) for template in TEMPLATES]
        for number in range(len(taxonomy))
    ]
    every = list(dict.fromkeys(text for rows in texts.values() for row in rows for text in row))
    places = {text: place for place, text in enumerate(every)}
    known = text_features(model, tokenizer, every)
    optimizer = torch.optim.AdamW(heads.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
    generator = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        seen, texts = [], []
        for source, quota in QUOTAS.items():
            rows = texts[source]
            numbers = torch.randperm(len(rows), generator=generator)[: min(quota, len(rows))]
            seen.append(classes.draw(numbers, generator) if source == "classes" else images[source][numbers])
            draws = torch.randint(2**31, (len(numbers),), generator=generator).tolist()
            texts += [rows[n][draw % len(rows[n])] for n, draw in zip(numbers.tolist(), draws, strict=True)]
        features = torch.cat(seen)
        features = features * (1 + 0.05 * torch.randn(features.shape, generator=generator))
        ids = torch.tensor([places[text] for text in texts])
        loss = infonce(
            heads.images(features),
            heads.texts(known[ids]),
            logit_scale=heads.logit_scale.exp().clamp(max=100),
            positives=Positives(torch.arange(len(ids)), ids),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 300 == 0:
            print(f"step {step + 1}: loss {float(loss.detach()):.3f}", flush=True)
    return {name: tensor.detach().half() for name, tensor in heads.state_dict().items()}


def main() -> None:
    """Train the heads and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of recipes/mini/prepare.py")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    keep_freed_memory()
    heads = train(options.data, options.folder, seed=options.seed)
    assemble(options.folder, heads)
    save_file({name: tensor.contiguous() for name, tensor in heads.items()}, options.folder / "heads.safetensors")
    print(f"written: {options.folder}")


if __name__ == "__main__":
    main()
