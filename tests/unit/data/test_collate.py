from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from vljepa import VLJEPAProcessor
from vljepa.configs import SourceConfig, TextView, load_preset
from vljepa.data.collate import Collator, Sample, StepBatches
from vljepa.data.images import ImageBatch, LiveImages
from vljepa.data.records import Record
from vljepa.data.sampling import StepSampler
from vljepa.models.types import Latents


class FakeFeatures:
    """A reader whose features say which image and view they are of."""

    def read(self, images):
        numbers = torch.tensor([[float(path.stem), float(view)] for path, view in images]).reshape(-1, 2)
        latents = Latents(
            numbers[:, None, :].expand(-1, 3, -1).clone(),
            torch.ones(len(images), 3, dtype=torch.bool),
            logits_BK=torch.zeros(len(images), 12),
        )
        return ImageBatch(kept=list(range(len(images))), skipped={}, latents=latents if images else None)


class FakeGuess:
    """A guess that says which text it was made from, and with which seed."""

    def __call__(self, seen, *, seeds):
        return torch.tensor([[float(text), float(seed % 2**20)] for text, seed in zip(seen, seeds, strict=True)])


@pytest.fixture(scope="module")
def processor():
    return VLJEPAProcessor(load_preset("toy"))


def record(number, *texts, query="", source_id=None, source=""):
    identity = source_id or str(number)
    return Record(image=Path(f"{number}.png"), texts=texts, query=query, source_id=identity, source=source)


def sample(number, text, **settings):
    return Sample(record(number, text, **settings), target=text)


def test_equal_pairs_and_equal_texts_get_equal_ids(processor):
    collate = Collator(processor, images=FakeFeatures())
    batch = collate([sample(1, "A cat."), sample(1, "tabby"), sample(1, "yes", query="is it?"), sample(2, "a  cat")])
    pairs, texts = batch.batch.pair_ids_B.tolist(), batch.batch.text_ids_B.tolist()
    assert (pairs[0] == pairs[1], pairs[0] == pairs[2], pairs[0] == pairs[3]) == (True, False, False)
    assert (texts[0] == texts[3], texts[0] == texts[1]) == (True, False)
    assert batch.size == 4


def test_a_bare_number_is_another_image_in_another_source_and_other_ids_are_not(processor):
    collate = Collator(processor, images=FakeFeatures())
    named = [("1", "a"), ("1", "a"), ("1", "b"), ("coco:1", "a"), ("coco:1", "b")]
    batch = collate([sample(1, "x", source_id=one, source=source) for one, source in named])
    pairs = batch.batch.pair_ids_B.tolist()
    assert (pairs[0] == pairs[1], pairs[0] == pairs[2], pairs[3] == pairs[4]) == (True, False, True)


def test_rows_without_a_query_get_the_caption_prompt(processor):
    plain = Collator(processor, images=FakeFeatures())
    assert plain([sample(1, "x")]).batch.query is None
    mixed = plain([sample(1, "x"), sample(2, "y", query="what?")]).batch
    assert mixed.query.mask_BL.any(dim=1).tolist() == [False, True]
    config = load_preset("toy")
    config.prompts.caption = "describe"
    prompted = Collator(VLJEPAProcessor(config), images=FakeFeatures())([sample(1, "x")]).batch
    assert torch.equal(prompted.query.ids_BL, processor.queries(["describe"]).ids_BL)


def test_a_broken_image_is_left_out_and_named(processor, tmp_path):
    Image.new("RGB", (8, 8), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    samples = [Sample(Record(image=tmp_path / name, texts=("x",)), target="x") for name in ("bad.png", "good.png")]
    batch = Collator(processor, images=LiveImages(processor))(samples)
    assert batch.size == 1
    assert list(batch.skipped) == [tmp_path / "bad.png"]
    assert {len(one) for one in tensors_of(batch.batch).values()} == {1}
    assert Collator(processor, images=LiveImages(processor))(samples[:1]).size == 0


def step_batches(processor, sources, configs, *, batch_size, views=3, seed=5, estimates=None):
    """Batches over `sources`; each config is what differs from the defaults."""
    configs = [SourceConfig(name=f"s{number}", path="-", **settings) for number, settings in enumerate(configs)]
    sampler = StepSampler(
        [len(source) for source in sources],
        weights=[config.weight for config in configs],
        names=[config.name for config in configs],
        batch_size=batch_size,
        seed=seed,
    )
    collator = Collator(processor, images=FakeFeatures(), estimates=estimates)
    return StepBatches(sources, configs=configs, sampler=sampler, collator=collator, views=views)


def captioned(count, *, first=0):
    return [record(number, f"a{number}", f"b{number}") for number in range(first, first + count)]


def alone(count, *, source):
    """Rows of text alone, whose texts are numbers."""
    texts = [(str(10 * number), str(10 * number + 1), str(10 * number + 2)) for number in range(count)]
    return [Record(image=None, texts=row, source_id=f"{source}{row[0]}", source=source) for row in texts]


def seen_images(batches, group, steps=12):
    """Rows (image, view) of one group over some steps."""
    return torch.cat([batches[step][group].batch.latents.tokens_BND[:, 0] for step in range(steps)])


def tensors_of(rows, prefix=""):
    """All tensors of a batch by their place in it."""
    found = {}
    for field in fields(rows):
        value = getattr(rows, field.name)
        if isinstance(value, torch.Tensor):
            found[prefix + field.name] = value
        elif is_dataclass(value):
            found |= tensors_of(value, f"{prefix}{field.name}.")
    return found


def equal_batches(ours, theirs):
    one, other = tensors_of(ours.batch), tensors_of(theirs.batch)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_one_group_draws_all_texts_and_views(processor):
    batches = step_batches(processor, [captioned(6)], [{}], batch_size=6)
    assert [len(batches[step]) for step in range(3)] == [1, 1, 1]
    assert set(seen_images(batches, 0)[:, 1].tolist()) == {0.0, 1.0, 2.0}
    texts = {number for step in range(12) for number in batches[step][0].batch.text_ids_B.tolist()}
    assert len(texts) == 12


def test_batches_with_groups_are_pure_in_seed_and_step(processor):
    sources = [captioned(6), captioned(5, first=6), alone(5, source="s2")]
    configs = [{"group": "a"}, {"group": "b", "gate_only": True}, {"group": "c"}]
    settings = {"batch_size": 9, "estimates": {"s2": FakeGuess()}}
    here, there = (step_batches(processor, sources, configs, **settings) for _ in range(2))
    for step in (7, 0, 7):
        for ours, theirs in zip(here[step], there[step], strict=True):
            assert equal_batches(ours, theirs)
    other = step_batches(processor, sources, configs, seed=6, **settings)
    for ours, theirs in zip(here[7], other[7], strict=True):
        assert not equal_batches(ours, theirs), "another seed must be told apart"
    assert not equal_batches(here[7][2], here[8][2])


def test_sources_of_a_group_stay_together_and_apart_from_the_others(processor):
    sources = [captioned(4), captioned(4, first=4), captioned(4, first=8)]
    configs = [{"group": "x"}, {"group": "y", "gate_only": True}, {"group": "x"}]
    batches = step_batches(processor, sources, configs, batch_size=6)
    x, y = batches[0]
    assert (x.size, y.size) == (4, 2)
    assert not x.batch.gate_only
    assert y.batch.gate_only
    assert set(seen_images(batches, 0)[:, 0].tolist()) == {0, 1, 2, 3, 8, 9, 10, 11}
    assert set(seen_images(batches, 1)[:, 0].tolist()) == {4, 5, 6, 7}


def test_a_source_chooses_its_own_number_of_views(processor):
    sources = [captioned(6), captioned(6, first=6), captioned(6, first=12)]
    configs = [{"group": "few", "views": 1}, {"group": "many", "views": 5}, {"group": "usual"}]
    batches = step_batches(processor, sources, configs, batch_size=18)
    drawn = [set(seen_images(batches, group)[:, 1].tolist()) for group in range(3)]
    assert drawn == [{0}, {0, 1, 2, 3, 4}, {0, 1, 2}]
    assert batches.order()["views"] == [1, 5, 3]


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 1.0, 1.0), (0.7, 0.78, 0.92), (0.0, 0.4, 0.6)])
def test_the_first_text_is_drawn_as_often_as_asked(processor, share, low, high):
    """The rest draws from both texts, so that 0.7 comes to 0.85."""
    rows = [record(number, "first", "second") for number in range(50)]
    batches = step_batches(processor, [rows], [{"first_text": share}], batch_size=50)
    drawn = torch.cat([batches[step][0].batch.text_ids_B for step in range(8)])
    reference = Collator(processor, images=FakeFeatures())([sample(1, "first")]).batch.text_ids_B
    assert low <= float((drawn == reference).float().mean()) <= high


def test_rows_of_text_alone_give_a_guess_from_another_text_than_the_target(processor):
    batches = step_batches(
        processor, [alone(6, source="s0")], [{"first_text": 0.5}], batch_size=6, estimates={"s0": FakeGuess()}
    )
    noises = []
    for step in range(6):
        (batch,) = batches[step]
        assert (batch.batch.latents, batch.batch.query) == (None, None)
        assert batch.size == 6
        noises += batch.batch.prior_BE[:, 1].tolist()
        seen = [str(int(number)) for number in batch.batch.prior_BE[:, 0]]
        targets = batch.batch.text_ids_B.tolist()
        rows = [row for row in alone(6, source="s0") for text in seen if text in row.texts]
        assert len(rows) == 6
        own = Collator(processor, images=FakeFeatures(), estimates={"s0": FakeGuess()})(
            [Sample(rows[0], target=text, seen=text) for text in seen]
        )
        assert all(ours != theirs for ours, theirs in zip(own.batch.text_ids_B.tolist(), targets, strict=True))
    assert len(set(noises)) == 36, "every visit has noise of its own"


def test_each_source_of_text_alone_has_its_own_guess(processor):
    class Other(FakeGuess):
        def __call__(self, seen, *, seeds):
            return -super().__call__(seen, seeds=seeds)

    sources = [alone(3, source="s0"), alone(3, source="s1")]
    configs = [{"view": TextView(like="x")}] * 2
    estimates = {"s0": FakeGuess(), "s1": Other()}
    (batch,) = step_batches(processor, sources, configs, batch_size=6, estimates=estimates)[0]
    assert (batch.batch.prior_BE[:, 1] > 0).tolist() == [True] * 3 + [False] * 3


def test_the_order_names_what_a_resumed_run_must_have_equal(processor):
    usual = step_batches(processor, [captioned(6)], [{}], batch_size=6).order()
    assert usual == step_batches(processor, [captioned(6)], [{}], batch_size=6).order()
    for settings in ({"views": 2}, {"group": "g"}, {"first_text": 0.5}):
        assert step_batches(processor, [captioned(6)], [settings], batch_size=6).order() != usual
    assert step_batches(processor, [captioned(6)], [{}], batch_size=5).order() != usual


def test_a_sample_without_a_text_has_nothing_about_targets(processor):
    """Where the method predicts no text; every one has to have one, or none of the batch has."""
    collate = Collator(processor, images=FakeFeatures())
    batch = collate([Sample(record(1), ""), Sample(record(2), "")])
    assert batch.size == 2
    assert not {"target.ids_BL", "target_features_BE", "text_ids_B"} & tensors_of(batch.batch).keys()
    assert len(set(batch.batch.pair_ids_B.tolist())) == 2
    with_text = collate([sample(1, "a cat"), sample(2, "a dog")]).batch
    assert {"target.ids_BL", "target.mask_BL", "text_ids_B"} <= tensors_of(with_text).keys()
    assert torch.equal(batch.batch.latents.tokens_BND, with_text.latents.tokens_BND)


def test_rows_without_a_text_are_visited_in_all_their_views(processor):
    batches = StepBatches(
        [[record(number) for number in range(4)]],
        configs=[SourceConfig(name="a", path="a")],
        sampler=StepSampler([4], weights=[1.0], names=["a"], batch_size=4, seed=0),
        collator=Collator(processor, images=FakeFeatures()),
        views=3,
    )
    seen = [tuple(row[0].tolist()) for step in range(12) for row in batches[step][0].batch.latents.tokens_BND]
    assert set(seen) == {(float(number), float(view)) for number in range(4) for view in range(3)}
