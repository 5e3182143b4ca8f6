"""Length buckets: the same losses and gradients with less padding, and every sample still sees all others."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import write_rows
from vljepa import VLJEPA
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import load_preset
from vljepa.methods.vl_jepa import VLJepaMethod
from vljepa.models.types import Batch, Tokens
from vljepa.training.pieces import join, split
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

BATCH = Batch(
    pair_ids_B=torch.arange(5),
    target=Tokens(
        torch.tensor([[1, 2, 3, 4], [1, 0, 0, 0], [1, 2, 0, 0], [1, 0, 0, 0], [1, 2, 3, 0]]),
        torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]).bool(),
    ),
    gate_only=True,
)


@pytest.fixture
def method(make_run):
    """VL-JEPA with a toy, as far as it says what may be cut."""
    found = VLJepaMethod(make_run("method"))
    found.model = VLJEPA(load_preset("toy"))
    return found


def pieces_of(batch, count, method):
    return [method.cut(piece) for piece in split(batch, count, lengths_B=method.lengths(batch))]


def test_samples_go_to_pieces_by_length_each_cut_to_its_longest(method):
    pieces = pieces_of(BATCH, 2, method)
    assert [piece.pair_ids_B.tolist() for piece in pieces] == [[1, 3, 2], [4, 0]]
    assert [list(piece.target.ids_BL.shape) for piece in pieces] == [[3, 2], [2, 4]]
    assert all((piece.target.ids_BL != 0).equal(piece.target.mask_BL) for piece in pieces)
    assert all(piece.gate_only for piece in pieces)


def test_without_lengths_the_order_and_the_padding_stay():
    pieces = split(BATCH, 2)
    whole = join([{"pair": piece.pair_ids_B, "ids": piece.target.ids_BL} for piece in pieces])
    assert torch.equal(whole["pair"], BATCH.pair_ids_B)
    assert torch.equal(whole["ids"], BATCH.target.ids_BL)


def test_lengths_of_query_and_target_count_together(method):
    query = torch.tensor([[1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]).bool()
    batch = replace(BATCH, query=Tokens(query.long(), query))
    pieces = pieces_of(batch, 5, method)
    assert [piece.pair_ids_B.item() for piece in pieces] == [1, 2, 3, 4, 0]  # 4, 4, 4, 4 and 5 tokens


def test_the_towers_of_open_clip_keep_their_context(method):
    part = method.model.config.y_encoder.part.model_copy(update={"backend": "open_clip"})
    method.model.config.y_encoder = method.model.config.y_encoder.model_copy(update={"part": part})
    assert method.lengths(BATCH) is None, "there is no query, and targets do not count"
    assert method.cut(BATCH.choose([1])).target.ids_BL.shape == (1, 4)


@pytest.fixture
def train(make_run, shapes, tmp_path, monkeypatch):
    """Losses, weights, and tokens that went through a transformer, of a run with a trained Y-Encoder and no dropout."""
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.0
    model["y_encoder"]["target"] = "trained"
    model["y_encoder"]["part"]["config"] |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    names = sorted(path.name for path in shapes.glob("*.png"))
    words = itertools.cycle(["red", "a longer one", "what is said of this goes on and on for a while", "blue"])
    rows = [{"image": name, "text": f"{next(words)} {name}", "query": f"{next(words)}?"} for name in names]
    write_rows(tmp_path / "rows.jsonl", rows)
    source = {"name": "rows", "path": str(tmp_path / "rows.jsonl"), "root": str(shapes)}
    tokens = []
    original = TransformersText.encode
    monkeypatch.setattr(
        TransformersText, "encode", lambda self, ids, mask: (tokens.append(ids.numel()), original(self, ids, mask))[1]
    )

    def train(name, *, buckets, grad_cache=None):
        tokens.clear()
        run = make_run(
            name,
            model=model,
            data={"train": [source], "validation": []},
            objective={"grad_cache": grad_cache},
            train={"steps": 3, "batch_size": 12, "precision": "fp32", "length_buckets": buckets},
        )
        Trainer(run, device="cpu").fit()
        folder = Path(run.train.output)
        losses = [line["loss"] for line in read_log(folder) if line["kind"] == "train"]
        norms = [line["gradient_norm"] for line in read_log(folder) if line["kind"] == "train"]
        return losses, norms, load_file(folder / "last" / "model.safetensors"), sum(tokens)

    return train


@pytest.mark.parametrize("grad_cache", [None, 5])
def test_the_same_training_up_to_rounding_in_fewer_tokens(train, grad_cache):
    losses, norms, weights, tokens = train("plain", buckets=1, grad_cache=grad_cache)
    sorted_losses, sorted_norms, sorted_weights, fewer = train("sorted", buckets=4, grad_cache=grad_cache)
    assert sorted_losses == pytest.approx(losses, rel=1e-5)
    assert sorted_norms == pytest.approx(norms, rel=1e-4)
    for name, tensor in weights.items():
        torch.testing.assert_close(sorted_weights[name], tensor, rtol=1e-2, atol=2e-4, msg=name)
    assert fewer < 0.75 * tokens


def test_negatives_of_the_piece_alone_would_be_another_training(train, monkeypatch):
    """The control: contrasted piece by piece, as sorted batches are elsewhere, the losses are others."""
    losses, *_ = train("plain", buckets=1)
    original = VLJepaMethod.loss

    def apart(self, outputs, pieces, *, step):
        sizes = [piece.size for piece in pieces]
        parts = {name: rows.split(sizes if len(rows) == sum(sizes) else 1) for name, rows in outputs.items()}
        each = [{name: rows[number] for name, rows in parts.items()} for number in range(len(pieces))]
        return torch.stack(
            [original(self, one, [piece], step=step) for one, piece in zip(each, pieces, strict=True)]
        ).mean()

    monkeypatch.setattr(VLJepaMethod, "loss", apart)
    others, *_ = train("apart", buckets=4)
    assert all(abs(one / other - 1) > 0.1 for one, other in zip(losses, others, strict=True))
