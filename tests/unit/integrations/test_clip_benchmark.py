"""The adapter inside the real CLIP_benchmark: its numbers are ours, but for ties."""

from __future__ import annotations

import io
import json
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vljepa import metrics
from vljepa.inference.embed import Embedder

pytest.importorskip("clip_benchmark")

from vljepa.integrations.clip_benchmark import ClipModel, load_vljepa, main

Emoji = list[tuple[Path, str]]


def write_tar(folder: Path, samples: list[tuple[Path, str, str]], **files: str) -> Path:
    """Data as CLIP_benchmark reads it from a disk: (image, what its other file ends in, what that says)."""
    (folder / "test").mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "test" / "nshards.txt").write_text("1")
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for number, (image, ending, text) in enumerate(samples):
            for suffix, content in (("png", image.read_bytes()), (ending, text.encode())):
                member = tarfile.TarInfo(f"{number:03d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return folder


def benchmark(folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, float]:
    """Metrics of its own command line."""
    out = folder / "result.json"
    command = ["eval", "--dataset", "wds/data", "--dataset_root", str(folder), "--num_workers", "0", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["clip_benchmark", *command, "--output", str(out), *words])
    main()
    result = json.loads(out.read_text())
    assert (result["model"], result["pretrained"]) == ("mini", "vljepa")
    return dict(result["metrics"])


@pytest.mark.assets
def test_its_numbers_are_ours(emoji: Emoji, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for _, name in emoji]
    embedder = Embedder.from_pretrained("mini")
    images, texts = embedder.images([path for path, _ in emoji]), embedder.texts(names)
    labels = np.arange(len(names))

    classes = [(path, "cls", str(number)) for number, (path, _) in enumerate(emoji)]
    templates = {"classnames": "\n".join(names), "zeroshot_classification_templates": "{c}"}
    folder = write_tar(tmp_path / "classes", classes, **templates)
    found = benchmark(folder, monkeypatch, "--task", "zeroshot_classification")
    hits = metrics.top_k_hits(images @ texts.T, labels)
    assert found == pytest.approx(
        {
            "acc1": hits.mean(),
            "acc5": metrics.top_k_hits(images @ texts.T, labels, k=5).mean(),
            "mean_per_class_recall": metrics.mean_per_class(hits, labels),
        }
    )
    assert 0 < found["acc1"] < 1, "a case that says something"

    captions = [(path, "txt", f"{name}\na image of {name}") for path, name in emoji]
    folder = write_tar(tmp_path / "captions", captions, dataset_type="retrieval")
    found = benchmark(folder, monkeypatch, "--task", "zeroshot_retrieval", "--recall_k", "1", "5", "10")
    both = embedder.texts([text for name in names for text in (name, f"an image of {name}")])
    to_image = metrics.retrieval(both, images, positives=[[number // 2] for number in range(len(both))])
    to_text = metrics.retrieval(images, both, positives=[[2 * number, 2 * number + 1] for number in labels])
    for k in (1, 5, 10):
        assert found[f"image_retrieval_recall@{k}"] == pytest.approx(to_image[f"r{k}"])
        assert found[f"text_retrieval_recall@{k}"] == pytest.approx(to_text[f"r{k}"])


def test_autocast_of_the_harness_does_not_reach_the_model(toy: str, images: list) -> None:
    model, transform, tokenizer = load_vljepa(toy)
    pixels, tokens = torch.stack([transform(image) for image in images]), tokenizer(["a cat", "two dogs on a bed"])
    with torch.no_grad():
        plain = model.encode_image(pixels), model.encode_text(tokens)
        with torch.autocast("cpu"):
            cast = model.encode_image(pixels), model.encode_text(tokens)
    assert all(torch.equal(one, other) for one, other in zip(plain, cast, strict=True))
    embedder = Embedder.from_pretrained(toy)
    np.testing.assert_allclose(plain[0].numpy(), embedder.images(images), atol=1e-6)
    np.testing.assert_allclose(plain[1].numpy(), embedder.texts(["a cat", "two dogs on a bed"]), atol=1e-6)
    pickle.dumps(transform)  # goes to the workers of a data loader


def test_a_collapsed_model_scores_everything_there_and_nothing_here(
    toy: str, images: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PITFALLS 7: the harness decides by argmax with the right answer first; an adapter only gives embeddings."""
    from clip_benchmark.metrics import image_caption_selection

    model, transform, tokenizer = load_vljepa(toy)
    width = model.model.config.embed_dim
    constant = torch.full((1, width), width**-0.5)
    monkeypatch.setattr(ClipModel, "encode_image", lambda self, pixels: constant.expand(len(pixels), -1))
    monkeypatch.setattr(ClipModel, "encode_text", lambda self, tokens: constant.expand(len(tokens), -1))
    batch = torch.stack([transform(image) for image in images]), [["a cat on a bed", "a bed on a cat"]] * len(images)
    theirs = image_caption_selection.evaluate(model, [batch], tokenizer, "cpu", amp=False)
    assert theirs["text_acc"] == 1.0
    rows = constant.expand(len(images), -1).numpy()
    assert metrics.pair_hits(rows, rows, rows).mean() == 0.0
