"""Length buckets: the same losses and gradients with less padding, and every sample still sees all others."""

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import write_rows
from vljepa.backends.text_layers import TransformersText
from vljepa.configs import load_preset
from vljepa.training import step as step_module
from vljepa.training.pieces import join, split
from vljepa.training.step import cut_texts
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

BATCH = {
    "pair_ids": torch.arange(5),
    "target_ids": torch.tensor([[1, 2, 3, 4], [1, 0, 0, 0], [1, 2, 0, 0], [1, 0, 0, 0], [1, 2, 3, 0]]),
    "target_mask": torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]]).bool(),
    "gate_only": torch.tensor(False),
}


def test_rows_go_to_pieces_by_length_each_cut_to_its_longest():
    pieces = split(BATCH, 2, texts=("query", "target"))
    assert [piece["pair_ids"].tolist() for piece in pieces] == [[1, 3, 2], [4, 0]]
    assert [list(piece.ids_BL.shape) for piece in pieces] == [[3, 2], [2, 4]]
    assert all((piece.ids_BL != 0).equal(piece.mask_BL) for piece in pieces)
    assert all("gate_only" in piece for piece in pieces)


def test_without_texts_the_order_and_the_padding_stay():
    pieces = split(BATCH, 2)
    whole = join(pieces)
    assert all(torch.equal(whole[name], BATCH[name]) for name in ("pair_ids", "target_ids", "target_mask"))
    assert "gate_only" not in whole


def test_lengths_of_query_and_target_count_together():
    query = torch.tensor([[1, 0, 0], [1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]]).bool()
    batch = BATCH | {"query_ids": query.long(), "query_mask": query}
    pieces = split(batch, 5, texts=("query", "target"))
    assert [piece["pair_ids"].item() for piece in pieces] == [1, 2, 3, 4, 0]  # 4, 4, 4, 4 and 5 tokens


def test_the_towers_of_open_clip_keep_their_context():
    config = load_preset("toy")
    assert cut_texts(config) == ("query", "target")
    part = config.y_encoder.part.model_copy(update={"backend": "open_clip"})
    config.y_encoder = config.y_encoder.model_copy(update={"part": part})
    assert cut_texts(config) == ("query",)


@pytest.fixture
def train(make_run, shapes, tmp_path, monkeypatch):
    """Losses, weights, and tokens that went through a transformer, of a run with a trained Y-Encoder and no dropout."""
    model = load_preset("toy").model_dump(mode="json")
    model["predictor"]["dropout"] = 0.0
    model["y_encoder"]["trainable"] = True
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
    original = step_module.Step._group

    def apart(self, outputs, pieces, *, step):
        sizes = [len(piece["pair_ids"]) for piece in pieces]
        parts = {name: rows.split(sizes if len(rows) == sum(sizes) else 1) for name, rows in outputs.items()}
        each = [{name: rows[number] for name, rows in parts.items()} for number in range(len(pieces))]
        return torch.stack(
            [original(self, one, [piece], step=step) for one, piece in zip(each, pieces, strict=True)]
        ).mean()

    monkeypatch.setattr(step_module.Step, "_group", apart)
    others, *_ = train("apart", buckets=4)
    assert all(abs(one / other - 1) > 0.1 for one, other in zip(losses, others, strict=True))
