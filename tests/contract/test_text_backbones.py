"""Text parts: the class's own outputs as a Y-Encoder, a bidirectional slice of its layers as a Predictor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.contract.text_classes import BIDIRECTIONAL, text_layers, text_models
from vljepa.backends.text_layers import TransformersText, embedding_names
from vljepa.configs import PartSpec, YEncoderConfig
from vljepa.errors import PartError
from vljepa.models.y_encoder import YEncoder

NAMES = sorted(text_models())


def saved(name: str, folder: Path) -> tuple[Any, PartSpec]:
    """The class itself, and a part that refers to its files."""
    cls, config = text_models()[name]
    torch.manual_seed(1)
    own = cls(cls.config_class(**config)).eval()
    own.save_pretrained(folder)
    raw = json.loads((folder / "config.json").read_text())
    return own, PartSpec(backend="transformers", name=str(folder), source="folder", config=raw)


def backbone(spec: PartSpec, folder: Path, **changes: Any) -> TransformersText:
    model = TransformersText(spec.model_copy(update=changes)).eval()
    model.load_pretrained(folder)
    return model


def tokens(length: int = 6) -> tuple[Tensor, Tensor]:
    ids = torch.randint(3, 60, (2, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, length, dtype=torch.bool)
    mask[1, 4:] = False
    return ids, mask


@pytest.mark.parametrize("name", NAMES)
def test_the_y_encoder_gives_the_class_s_own_embedding(name: str, tmp_path: Path) -> None:
    own, spec = saved(name, tmp_path)
    ours = YEncoder(YEncoderConfig(part=spec, pooling="mean", head="identity"), embed_dim=32).eval()
    ours.backbone.load_pretrained(tmp_path)
    ids, mask = tokens()
    with torch.no_grad():
        hidden = own(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    expected = torch.stack([row[keep].mean(0) for row, keep in zip(hidden, mask, strict=True)])
    torch.testing.assert_close(ours.features(ids, mask), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "embeddinggemma"])
def test_a_predictor_s_layers_begin_as_the_class_s_own(name: str, tmp_path: Path) -> None:
    """RoBERTa, XLM-R and MPNet count positions from the row after their padding: from 0 they are broken.

    EmbeddingGemma's own attention has windows, a Predictor's has none.
    """
    own, spec = saved(name, tmp_path)
    model = backbone(spec, tmp_path)
    ids, mask = tokens()
    with torch.no_grad():
        wanted = own(input_ids=ids, attention_mask=mask.long()).last_hidden_state[mask]
        embedded = model.embed(ids)
        got = model.encode_embeddings(embedded, mask, attention="full" if name in BIDIRECTIONAL else "causal")[mask]
        model.first_position += 1
        shifted = model.encode_embeddings(embedded, mask, attention="full" if name in BIDIRECTIONAL else "causal")[mask]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    if "rotary" not in " ".join(key for key, _ in own.named_modules()):  # rotary positions are relative
        assert (shifted - wanted).abs().max() > 1e-3, "the control"


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("gpt2", {"wte.weight", "wpe.weight"}),
        ("llama", {"embed_tokens.weight"}),
        ("mpnet", {"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight"}),
        ("minilm", {f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}),
    ],
)
def test_embeddings_are_known_by_their_module_not_their_name(name: str, tables: set[str]) -> None:
    cls, config = text_models()[name]
    assert embedding_names(cls(cls.config_class(**config))) == tables


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_is_those_layers_in_that_order(name: str, tmp_path: Path) -> None:
    own, spec = saved(name, tmp_path)
    sliced = backbone(spec, tmp_path, layers=(2, 4))
    layers, kept = text_layers(own), text_layers(sliced.model)
    assert len(kept) == 2
    for theirs, mine in zip(layers[2:4], kept, strict=True):
        for (key, a), (_, b) in zip(theirs.state_dict().items(), mine.state_dict().items(), strict=True):
            assert torch.equal(a, b), key


@pytest.mark.parametrize("name", NAMES)
def test_a_slice_beyond_the_model_is_refused(name: str, tmp_path: Path) -> None:
    _, spec = saved(name, tmp_path)
    with pytest.raises(PartError, match="asks for layers 2:9, the model has 4"):
        TransformersText(spec.model_copy(update={"layers": (2, 9)}))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_first_token_sees_the_last(name: str, padded: bool, attention: str, tmp_path: Path) -> None:
    _, spec = saved(name, tmp_path)
    model = backbone(spec, tmp_path)
    model.model.set_attn_implementation(attention)
    ids, mask = tokens()
    mask = mask if padded else torch.ones_like(mask)
    embedded = model.embed(ids).detach()
    changed = embedded.clone()
    last = mask.sum(1) - 1
    changed[torch.arange(2), last] += torch.randn(32)
    with torch.no_grad():
        before = model.encode_embeddings(embedded, mask, attention="full")[:, 0]
        after = model.encode_embeddings(changed, mask, attention="full")[:, 0]
    assert ((before - after).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", NAMES)
def test_with_a_causal_mask_it_does_not(name: str, attention: str, tmp_path: Path) -> None:
    """Negative control, for every class: MiniLM and EmbeddingGemma are bidirectional by themselves."""
    _, spec = saved(name, tmp_path)
    model = backbone(spec, tmp_path)
    model.model.set_attn_implementation(attention)
    ids, mask = tokens()
    embedded = model.embed(ids).detach()
    changed = embedded.clone()
    changed[torch.arange(2), mask.sum(1) - 1] += torch.randn(32)
    with torch.no_grad():
        before = model.encode_embeddings(embedded, mask, attention="causal")[:, 0]
        after = model.encode_embeddings(changed, mask, attention="causal")[:, 0]
    assert torch.equal(before, after)


@pytest.mark.parametrize("where", ["end", "middle"])
@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name: str, where: str, tmp_path: Path) -> None:
    _, spec = saved(name, tmp_path)
    model = backbone(spec, tmp_path)
    ids, _ = tokens()
    embedded = model.embed(ids).detach()
    noise = torch.randn(2, 3, 32)
    at = 6 if where == "end" else 4
    padded = torch.cat([embedded[:, :at], noise, embedded[:, at:]], dim=1)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[:, at : at + 3] = False
    with torch.no_grad():
        plain = model.encode_embeddings(embedded, torch.ones(2, 6, dtype=torch.bool), attention="full")
        got = model.encode_embeddings(padded, mask, attention="full")
    kept = torch.cat([got[:, :at], got[:, at + 3 :]], dim=1)
    torch.testing.assert_close(kept, plain, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_word_order_counts(name: str, tmp_path: Path) -> None:
    _, spec = saved(name, tmp_path)
    model = backbone(spec, tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    mask = torch.ones_like(ids, dtype=torch.bool)
    with torch.no_grad():
        one = model.encode_embeddings(model.embed(ids), mask, attention="full").mean(1)
        other = model.encode_embeddings(model.embed(ids.flip(1)), mask, attention="full").mean(1)
    assert (one - other).abs().max() > 1e-4


def test_a_sequence_longer_than_the_positions_is_refused(tmp_path: Path) -> None:
    _, spec = saved("minilm", tmp_path)
    model = TransformersText(spec)
    with pytest.raises(PartError, match="64 positions, the sequence has 65"):
        model.encode_embeddings(torch.zeros(1, 65, 32), torch.ones(1, 65, dtype=torch.bool), attention="full")


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_backbone_keeps_the_words_and_starts_its_layers_by_the_run_s_seed(name: str, tmp_path: Path) -> None:
    own, spec = saved(name, tmp_path)

    def fresh(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        model = TransformersText(spec, fresh=True)
        model.load_pretrained(tmp_path)
        return model.model.state_dict()

    pretrained, one, other = own.state_dict(), fresh(2), fresh(3)
    words = sorted(embedding_names(TransformersText(spec).model))
    matrices = [key for key in one if key not in words and one[key].ndim > 1]
    assert words
    assert len(matrices) >= 4 * 4  # in each of four layers
    assert all(torch.equal(one[key], pretrained[key]) for key in words)
    for key in matrices:
        assert not torch.equal(one[key], pretrained[key]), key
        assert not torch.equal(one[key], other[key]), key
    assert all(torch.equal(tensor, fresh(2)[key]) for key, tensor in one.items())
