"""A model that sees mean colours: its answers can be worked out by hand, and it needs no weights."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from tests.unit.inference.speaking import NAMES
from vljepa.configs import CalibrationConfig, ChoiceConfig, PromptsConfig, SelectiveConfig
from vljepa.models.jepa import JEPA
from vljepa.models.types import Latents, Tokens
from vljepa.processing.given import as_rgb

WORDS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1), "a photo of red": (0.9, 0.1, 0)}
SELECTIVE = SelectiveConfig(fps=4.0, method="two_window", window=3, threshold=0.5, max_delay=2.0, offline_threshold=0.5)
QUERIES = ["", "what colour is it?", "which colour is least here?"]


class ColourModel(nn.Module):
    """Predicts the mean colour; under the last of QUERIES, its opposite."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.space = "colours"
        self.identity = "colour model"
        self.y_decoder = self.residual = None
        self.config = SimpleNamespace(
            embed_dim=3,
            residual=None,
            prompts=PromptsConfig(),
            calibration=CalibrationConfig(classify=0.1, ask=0.5),
            x_encoder=SimpleNamespace(part="eye"),
            predictor=SimpleNamespace(part="estimate", clips=None),
            clips=None,
            y_encoder=SimpleNamespace(part="ear"),
        )
        self.modes = []

    def encode_vision(self, pixels):
        self.modes.append((self.training, torch.is_inference_mode_enabled(), len(pixels)))
        tokens = pixels.mean(dim=(1, 3, 4))[:, None]
        return Latents(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))

    def predict(self, latents, query):
        sign = torch.where(query.ids_BL == 2, -1.0, 1.0)
        return F.normalize(sign * latents.tokens_BND[:, 0], dim=-1)

    def encode_text(self, text):
        table = torch.tensor([*WORDS.values()], dtype=torch.float32)
        return F.normalize(table[text.ids_BL[:, 0]], dim=-1)

    class_embeddings = JEPA.class_embeddings

    def text_space_hash(self):
        return self.space

    def fingerprint(self):
        return self.identity


class ColourProcessor:
    config = SimpleNamespace(x_encoder=SimpleNamespace(image=SimpleNamespace(max_pixels=10_000)))

    def images(self, images):
        opened = [as_rgb(image, max_pixels=10_000) for image in images]
        pixels = [torch.tensor(image.resize((1, 1)).getpixel((0, 0))) / 255 for image in opened]
        return torch.stack(pixels)[:, None, :, None, None]

    def queries(self, texts):
        ids = torch.tensor([[QUERIES.index(text)] for text in texts])
        return Tokens(ids, torch.ones_like(ids))

    def targets(self, texts):
        ids = torch.tensor([[[*WORDS].index(text)] for text in texts])
        return Tokens(ids, torch.ones_like(ids))


@pytest.fixture
def model():
    return ColourModel()


@pytest.fixture
def processor():
    return ColourProcessor()


COLOURS = {"red": "#ff0000", "green": "#00ff00", "blue": "#0000ff"}


@pytest.fixture
def animation(tmp_path):
    """Write an animated GIF of scenes, (colour, seconds) each."""

    def animation(name, *scenes):
        first, *rest = (Image.new("RGB", (8, 8), COLOURS[colour]) for colour, _ in scenes)
        durations = [round(1000 * seconds) for _, seconds in scenes]
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        first.save(path, save_all=True, append_images=rest, duration=durations)
        return path

    return animation


@pytest.fixture
def images(tmp_path):
    """Folder with red.png, green.jpg, deep/blue.webp, and broken.png that is no image."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    Image.new("RGB", (8, 8), "#ff0000").save(folder / "red.png")
    Image.new("RGB", (8, 8), "#00ff00").save(folder / "green.jpg")
    Image.new("RGB", (8, 8), "#0000ff").save(folder / "deep" / "blue.webp", lossless=True)
    (folder / "broken.png").write_bytes(b"not an image")
    (folder / "notes.txt").write_text("red green blue")
    return folder


@pytest.fixture
def speaker(model, processor):
    """The colour model with a decoder that says the strongest colour."""
    config = SimpleNamespace(
        selective=SELECTIVE, entities=None, choice=ChoiceConfig(), generation=SimpleNamespace(max_new_tokens=2)
    )
    model.y_decoder = SimpleNamespace(
        config=config, phrases=(), log_likelihood=lambda rows, ids, mask, entities, shift: torch.zeros(len(ids))
    )
    model.generate = lambda embeddings, **options: embeddings.argmax(-1)[:, None]
    model.config.prompts = PromptsConfig()
    processor.words = SimpleNamespace(
        decode=lambda ids, entities=None: [NAMES[one] for one in ids[:, 0].tolist()],
        encode=lambda texts, max_tokens, entities: (torch.zeros(len(texts), 2), torch.ones(len(texts), 2)),
        knows=lambda text: True,
    )
    processor.config = SimpleNamespace(x_encoder=SimpleNamespace(image=SimpleNamespace(max_pixels=1_000_000)))
    return {"model": model, "processor": processor}
