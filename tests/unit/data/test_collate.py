from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import load_preset
from vljepa.data.collate import Collator, Sample, StepBatches
from vljepa.data.features import TextFeatures
from vljepa.data.pictures import LivePictures, PictureBatch
from vljepa.data.records import Record
from vljepa.data.sampling import StepSampler
from vljepa.data.text_only import LabelGuess


class FakeFeatures:
    """A reader whose features say which picture and view they are of."""

    def read(self, pictures):
        numbers = torch.tensor([[float(path.stem), float(view)] for path, view in pictures]).reshape(-1, 2)
        tensors = {
            "vision_tokens": numbers[:, None, :].expand(-1, 3, -1).clone(),
            "vision_mask": torch.ones(len(pictures), 3, dtype=torch.bool),
            "vision_logits": torch.zeros(len(pictures), 12),
        }
        return PictureBatch(tensors if pictures else {}, kept=list(range(len(pictures))), skipped={})


@pytest.fixture(scope="module")
def processor():
    return VLJEPAProcessor(load_preset("toy"))


def record(number, *texts, query="", source_id=None):
    return Record(image=Path(f"{number}.png"), texts=texts, query=query, source_id=source_id or str(number))


def sample(number, text, **settings):
    return Sample(record(number, text, **settings), target=text)


def test_equal_pairs_and_equal_texts_get_equal_ids(processor):
    collate = Collator(processor, pictures=FakeFeatures())
    batch = collate([sample(1, "A cat."), sample(1, "tabby"), sample(1, "yes", query="is it?"), sample(2, "a  cat")])
    pairs, texts = batch.tensors["pair_ids"].tolist(), batch.tensors["text_ids"].tolist()
    assert (pairs[0] == pairs[1], pairs[0] == pairs[2], pairs[0] == pairs[3]) == (True, False, False)
    assert (texts[0] == texts[3], texts[0] == texts[1]) == (True, False)
    assert batch.size == 4


def test_rows_without_a_query_get_the_caption_prompt(processor):
    plain = Collator(processor, pictures=FakeFeatures())
    assert "query_ids" not in plain([sample(1, "x")]).tensors
    mixed = plain([sample(1, "x"), sample(2, "y", query="what?")]).tensors
    assert mixed["query_mask"].any(dim=1).tolist() == [False, True]
    config = load_preset("toy")
    config.prompts.caption = "describe"
    prompted = Collator(VLJEPAProcessor(config), pictures=FakeFeatures())([sample(1, "x")]).tensors
    assert torch.equal(prompted["query_ids"], processor.queries(["describe"])["query_ids"])


def test_a_broken_picture_is_left_out_and_named(processor, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    samples = [Sample(Record(image=tmp_path / name, texts=("x",)), target="x") for name in ("bad.png", "good.png")]
    batch = Collator(processor, pictures=LivePictures(processor))(samples)
    assert batch.size == 1
    assert list(batch.skipped) == [tmp_path / "bad.png"]
    assert {len(tensor) for tensor in batch.tensors.values()} == {1}
    assert Collator(processor, pictures=LivePictures(processor))(samples[:1]).size == 0


def test_batches_are_pure_and_draw_all_texts_and_views(processor):
    sources = [[record(number, f"a{number}", f"b{number}") for number in range(6)]]
    sampler = StepSampler([6], weights=[1], names=["s"], batch_size=6, seed=5)
    batches = StepBatches(sources, sampler=sampler, collator=Collator(processor, pictures=FakeFeatures()), views=3)
    again = batches[4].tensors
    for name, tensor in batches[4].tensors.items():
        assert torch.equal(tensor, again[name])
    visits = torch.cat([batches[step].tensors["vision_tokens"][:, 0] for step in range(12)])
    assert set(visits[:, 1].tolist()) == {0.0, 1.0, 2.0}
    texts = {number for step in range(12) for number in batches[step].tensors["text_ids"].tolist()}
    assert len(texts) == 12


def test_rows_of_text_alone_join_rows_with_pictures(processor, tmp_path):
    model = VLJEPA(load_preset("toy")).eval()
    model.label_prior.label_features_KE.normal_(generator=torch.Generator().manual_seed(0))
    texts = TextFeatures(tmp_path, config=model.config.y_encoder)
    texts.fill(["a cat", "a kitten", "a dog"], model=model, processor=processor)
    guess = LabelGuess(texts, label_features_KE=model.label_prior.label_features_KE, temperature=2.0, tokens_ND=(3, 2))
    collate = Collator(processor, pictures=FakeFeatures(), texts=texts, guess=guess)
    alone = Record(image=None, texts=("a cat", "a kitten"), source_id="t")
    visit = Sample(alone, target="a kitten", seen="a cat", seed=9)
    batch = collate([sample(1, "a dog"), visit]).tensors
    assert batch["vision_mask"].any(dim=1).tolist() == [True, False]
    assert batch["vision_logits"].shape == (2, 12)
    again = collate([visit]).tensors["vision_logits"]
    assert torch.equal(again[0], batch["vision_logits"][1])
    assert not torch.equal(collate([replace(visit, seed=10)]).tensors["vision_logits"], again)
    assert not torch.equal(collate([replace(visit, seen="a dog")]).tensors["vision_logits"], again)


def test_a_row_of_text_alone_predicts_from_its_label_prior(processor):
    """With every visual token masked, the Predictor still answers, and answers by the logits."""
    model = VLJEPA(load_preset("toy")).eval()
    model.label_prior.label_features_KE.normal_(generator=torch.Generator().manual_seed(0))
    batch = {
        "vision_tokens": torch.zeros(2, 4, model.x_encoder.width),
        "vision_mask": torch.zeros(2, 4, dtype=torch.bool),
        "vision_logits": 9 * torch.eye(12)[:2],
        "target_features": torch.zeros(2, model.y_encoder.width),
    }
    with torch.no_grad():
        prediction = model(batch).prediction_BD
        noise = model(batch | {"vision_tokens": torch.randn(2, 4, model.x_encoder.width)}).prediction_BD
    assert prediction.isfinite().all()
    assert not torch.allclose(prediction[0], prediction[1], atol=1e-3)
    torch.testing.assert_close(prediction, noise)
