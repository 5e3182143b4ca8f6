"""Faults that users of this field's tools reported, each rebuilt small; the name is the public thread.

Videos are in `test_field_bugs_videos.py`, tables and archives in `test_field_bugs_data.py`.
"""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.security.field_bugs import FieldBugs
from tests.security.hostile_images import bmp_header
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.checkpoint.adaptation import adapt
from vljepa.configs import AdaptersConfig, VLJEPAConfig, load_preset
from vljepa.errors import ImageError
from vljepa.inference.embed import Embedder
from vljepa.inference.index import Index
from vljepa.processing.image import open_image

CAP = 1_000_000
BUGS = FieldBugs()
bug = BUGS.reported


@pytest.fixture(scope="module")
def embedder():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = load_preset("toy")
        return Embedder(VLJEPA(config), VLJEPAProcessor(config))


def photo(size=(48, 32)):
    """Dark at the top left, red at the right."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (0, 0, size[0] // 2, size[1] // 2))
    image.paste("red", (size[0] - 8, 0, size[0], size[1]))
    return image


def brightness(path):
    return np.asarray(open_image(path, max_pixels=CAP).convert("L"), dtype=int)


# -- images ---------------------------------------------------------------------------------------------------------


@bug("Pillow #9109")
def upside_down(tmp_path, embedder):
    upright = photo()
    upright.save(tmp_path / "1.png")
    for orientation, back in ((3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        upright.transpose(back).save(tmp_path / f"{orientation}.png", exif=exif)
        upright.transpose(back).save(tmp_path / f"{orientation} without.png")
    names = ["1", "3", "6", "3 without", "6 without"]
    rows = embedder.images([tmp_path / f"{name}.png" for name in names])
    cosines = rows @ rows[0]
    assert cosines[:3] == pytest.approx(1, abs=1e-6)
    assert cosines[3:].max() < 0.9999, "the control: it would matter"


@bug("Pillow #2574", "Pillow #5991")
def sixteen_bits_turn_white(tmp_path, embedder):
    ramp = np.tile(np.linspace(0, 65_535, 64).astype(np.uint16), (32, 1))
    for name, kind, values in (("a.png", "PNG", ramp), ("a.tif", "TIFF", ramp), ("b.tif", "TIFF", ramp.astype(">u2"))):
        mode = "I;16B" if values.dtype.byteorder == ">" else "I;16"
        Image.frombytes(mode, (64, 32), values.tobytes()).save(tmp_path / name, kind)
        assert abs(brightness(tmp_path / name)[0] - np.linspace(0, 255, 64)).max() <= 1


@bug("Pillow #7288", "Pillow #5593")
def alpha_is_lost(tmp_path, embedder):
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 30, 30, 30])
    palette.paste(1, (2, 2, 6, 6))
    palette.save(tmp_path / "palette.png", transparency=0)
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "logo.png")
    logo = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    logo.paste((250, 250, 250, 255), (2, 2, 6, 6))
    logo.save(tmp_path / "bright.png")
    dark, bright = brightness(tmp_path / "palette.png"), brightness(tmp_path / "bright.png")
    assert (dark[0, 0], dark[4, 4]) == (255, 30)
    assert (bright[0, 0], bright[4, 4]) == (0, 250)


@bug("rclip #221")
def heic_is_not_an_image(tmp_path, embedder):
    import pillow_heif

    pillow_heif.from_pillow(photo()).save(tmp_path / "IMG_1.HEIC", quality=90)
    photo().save(tmp_path / "same.png")
    index = Index.build(embedder.model, embedder.processor, tmp_path)
    assert index.skipped == []
    hits = index.search(tmp_path / "same.png", k=2)
    assert {hit.path for hit in hits} == {"same.png", "IMG_1.HEIC"}
    assert min(hit.score for hit in hits) > 0.99


@bug("pannellum #596", "rclip PR #201")
def one_bomb_ends_the_batch(tmp_path, embedder):
    photo().save(tmp_path / "a.png")
    photo().save(tmp_path / "z.png")
    (tmp_path / "bomb.jpg").write_bytes(bmp_header(20_992, 10_496))
    index = Index.build(embedder.model, embedder.processor, tmp_path)
    assert [entry.path for entry in index.entries] == ["a.png", "z.png"]
    [skipped] = index.skipped
    assert skipped.path == "bomb.jpg"
    assert "cap" in skipped.reason


@bug("Telegram-Archive PR #449")
def the_cap_comes_after_the_decode(tmp_path, embedder, monkeypatch):
    photo((600, 400)).save(tmp_path / "a.jpg", progressive=True)
    decoded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self))
    with pytest.raises(ImageError, match="600 x 400 pixels, the cap is 1,000"):
        open_image(tmp_path / "a.jpg", max_pixels=1000)
    assert decoded == []


# -- towers and texts -------------------------------------------------------------------------------------------------


@bug("CLIP #212", "torchmetrics #2883")
def a_long_text_loses_its_end(tmp_path, embedder):
    processor = VLJEPAProcessor(with_open_clip_text())
    for words in (1, 75, 76, 300):
        batch = processor.targets(["fish " * words, "a"])
        kept = batch.ids_BL[0][batch.mask_BL[0]]
        assert int(kept[-1]) == 49407, "the end token, which the tower reads"
        assert len(kept) == min(words + 2, 77)


def with_open_clip_text():
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    part = {
        "backend": "open_clip",
        "name": "t",
        "source": "random",
        "config": {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}},
    }
    raw = load_preset("toy").model_dump(mode="json")
    raw["y_encoder"] |= {"part": part, "pooling": "pooler", "head": "linear"}
    return VLJEPAConfig.model_validate(raw)


@bug("mteb #1043")
def the_empty_text_is_not_a_number(tmp_path, embedder):
    rows = embedder.texts(["", " ", "a"])
    assert np.isfinite(rows).all()
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(embedder.images([photo()], query="")).all()


@bug("transformers #22312")
def no_pad_token(tmp_path, embedder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "red": 3, "fish": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", eos_token="</s>").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    raw = load_preset("toy").model_dump(mode="json")
    raw["y_encoder"]["part"] = {"backend": "transformers", "source": "folder", "name": str(tmp_path)}
    processor = VLJEPAProcessor(VLJEPAConfig.model_validate(raw))
    batch = processor.targets(["a red fish", "fish"])
    assert batch.mask_BL.sum(1).tolist() == [3, 1]
    assert batch.ids_BL[1][batch.mask_BL[1]].tolist() == [4]


@bug("huggingface_hub #2797", "huggingface_hub #3394")
def offline_with_a_read_only_cache(tmp_path, embedder):
    snapshot = tmp_path / "cache" / "models--somebody--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file({"a": torch.zeros(1)}, snapshot / "model.safetensors")
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    code = f"""
import os, sys

def read_only(event, args):
    written = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (written or event in ("os.mkdir", "os.rename", "os.remove")) and str(args[0]).startswith({str(tmp_path)!r}):
        raise OSError(30, "Read-only file system", str(args[0]))

sys.addaudithook(read_only)
from vljepa.configs import PartSpec
from vljepa.backends import part_folder
print(part_folder(PartSpec.model_validate("transformers:somebody/model")))
"""
    surroundings = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(snapshot)


@bug("peft #761", "peft #1744")
def the_attention_of_open_clip_is_not_adaptable(tmp_path, embedder):
    """Its `in_proj_weight` is no layer; what is adapted instead must at least be used."""
    config = with_open_clip_text()
    model, processor = VLJEPA(config), VLJEPAProcessor(config)
    batch = processor.targets(["a fish", "a dog"])
    before = model.encode_text(batch)
    adapt(model, AdaptersConfig(parts=["y_encoder"]), base="x", seed=0)
    after = model.encode_text(batch)
    assert torch.equal(after, before), "it says what it said"
    after[:, :3].sum().backward()
    adapted = {name: tensor for name, tensor in model.named_parameters() if "lora_B" in name}
    assert adapted
    assert [name for name, tensor in adapted.items() if tensor.grad is None or not tensor.grad.any()] == []


# -- indexes ----------------------------------------------------------------------------------------------------------


@bug("photoprism #4771", "memories #1556")
def moved_files_are_never_indexed(tmp_path, embedder, monkeypatch):
    folder = tmp_path / "flat"
    folder.mkdir()
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    for number in range(2000):
        (folder / f"{number:04}.png").write_bytes(content.getvalue())
    model, processor = embedder.model, embedder.processor
    read_files = []
    real = processor.images
    monkeypatch.setattr(processor, "images", lambda images: read_files.extend(images) or real(images))
    first = Index.build(model, processor, folder)
    assert len(first) == len(read_files) == 2000

    (folder / "0001.png").rename(folder / "moved.png")
    (folder / "deep").mkdir()
    (folder / "0002.png").rename(folder / "deep" / "0002.png")
    read_files.clear()
    second = Index.build(model, processor, folder, known=[first])

    assert not read_files, "they are known by their content"
    paths = {entry.path for entry in second.entries}
    assert paths >= {"moved.png", "deep/0002.png"}
    assert not paths & {"0001.png", "0002.png"}
    assert len(second) == 2000


@bug("immich #5996")
def every_query_returns_everything(tmp_path, embedder):
    for number, colour in enumerate(("red", "green", "blue", "white")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"{number}.png")
    index = Index.build(embedder.model, embedder.processor, tmp_path)
    hits = index.search("a volcano")
    assert len(hits) == 4, "the control"
    above = index.search("a volcano", min_score=(hits[0].score + hits[1].score) / 2)
    assert above == hits[:1]
    assert index.search("a volcano", min_score=1.0) == []
    assert len(index.search(tmp_path / "0.png", min_score=0.9999)) >= 1


@pytest.mark.parametrize("thread", BUGS)
def test_a_fault_of_the_field(thread, tmp_path, embedder, monkeypatch):
    BUGS.run(thread, tmp_path=tmp_path, embedder=embedder, monkeypatch=monkeypatch)


def test_every_reported_fault_has_its_check():
    """The 29 rows of the list, whose threads are each in one of the three files."""
    from tests.security import test_field_bugs_data, test_field_bugs_videos

    covered = [*BUGS, *test_field_bugs_data.BUGS, *test_field_bugs_videos.BUGS]
    assert len(covered) == len(set(covered)) == 29
