"""What a Y-Decoder is trained on, and what it must never be trained on."""

import pytest
import torch
import torch.nn.functional as F

from tests.conftest import write_rows
from tests.decoders import decoder_config, units
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import DecoderDataConfig, DecoderRunConfig, DecoderSourceConfig, load_preset, validate
from vljepa.data.records import Record
from vljepa.errors import ConfigError, DataError
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import train_lexicon
from vljepa.training.decoder_inputs import _counted, prepare_decoder
from vljepa.training.decoder_texts import exclude, hold_out, read_texts
from vljepa.training.gap import measure_gap

SECRET = "a purple elephant"
"""A caption of the test set."""


def record(identity, *texts):
    return Record(image=None, texts=texts, query="", source_id=identity, candidates=(), type="", source="s")


def source(file, see="text", **keys):
    return DecoderSourceConfig.model_validate({"name": file, "path": f"{file}.jsonl", "see": see} | keys)


def texts_of(sources):
    return {text for rows in sources for row in rows for text in row.texts}


def test_rows_of_excluded_images_go_whatever_they_say():
    train = [[record("1", "a cat"), record("2", "a dog")], [record("1", "what an animal")]]
    kept, dropped = exclude(train, [[record("1", "something else")]], names=["a", "b"])
    assert texts_of(kept) == {"a dog"}
    assert dropped == {"a": 1, "b": 1}


def test_excluded_texts_go_whatever_image_they_are_of():
    train = [[record("1", "A cat.", "cat"), record("2", "a cat"), record("3", "a dog", "two dogs", "a cat")]]
    kept, dropped = exclude(train, [[record("9", "a  CAT")]], names=["a"])
    assert [row.texts for row in kept[0]] == [("a dog", "two dogs")]
    assert dropped == {"a": 2}  # of one text, or of one left where two were: nothing to see and write


def test_nothing_excluded_drops_nothing():
    """The control."""
    train = [[record("1", "a cat"), record("2", "a dog")]]
    assert exclude(train, [], names=["a"]) == (train, {})
    assert exclude(train, [[record("9", "a bird")]], names=["a"]) == (train, {})


def test_a_held_out_image_s_texts_stay_together_and_are_gone_from_all_sources():
    rows = [record(str(number), f"text {number}", f"also {number}") for number in range(40)]
    estimates = [record(str(number), f"third {number}", f"fourth {number}") for number in range(40)]
    train, held = hold_out([rows, estimates], [source("a"), source("b", "picture")], share=0.1)
    ids = {row.source_id for row in held}
    assert len(held) == 4
    assert all(len(row.texts) == 2 for row in held)
    assert all({row.source_id for row in part} == {str(number) for number in range(40)} - ids for part in train)
    assert hold_out([rows, estimates], [source("a"), source("b", "picture")], share=0.1)[1] == held
    assert not texts_of([held]) & texts_of(train)


def test_only_rows_of_text_sources_are_held_out():
    rows = [record(str(number), f"text {number}") for number in range(20)]
    train, held = hold_out([rows], [source("a", "picture")], share=0.1)
    assert (train, held) == ([rows], [])


@pytest.fixture
def folder(tmp_path):
    """captions.jsonl with 20 images, one of which is in test.jsonl too; other.jsonl says a test caption by itself."""
    rows = [{"image": f"{number}.png", "text": [f"a {number}", f"{number} again"]} for number in range(20)]
    write_rows(tmp_path / "captions.jsonl", rows)
    write_rows(tmp_path / "test.jsonl", [{"image": "3.png", "text": ["a new caption"]}, {"image": "x", "text": SECRET}])
    other = [{"text": [f"{SECRET.capitalize()}."]}, {"text": ["A lamp"]}, {"text": ["A chair"]}]
    write_rows(tmp_path / "other.jsonl", other)
    return tmp_path


def data(folder, **changes):
    raw = {"root": str(folder), "train": [source("captions"), source("other")], "held_out": 0.1, "noise": 0.1}
    raw |= {"cache": {"folder": str(folder / "cache"), "views": 1}}
    return DecoderDataConfig.model_validate(raw | changes)


def test_images_without_ids_are_excluded_by_their_files(folder):
    kept = texts_of(read_texts(data(folder))[0])
    assert {"a 3", f"{SECRET.capitalize()}."} <= kept  # the control
    train, held, dropped = read_texts(data(folder, exclude=[source("test").model_dump(exclude={"see"})]))
    assert not {"a 3", "3 again", f"{SECRET.capitalize()}."} & (texts_of(train) | set(held))
    assert dropped == {"captions": 1, "other": 1}


def test_held_out_texts_are_not_trained_on_under_another_image(folder):
    write_rows(folder / "other.jsonl", [{"text": [f"A {number}"]} for number in range(20)])
    train, held, _ = read_texts(data(folder))
    assert held
    assert not {text.lower() for text in held} & {text.lower() for text in texts_of(train)}


def test_a_text_source_and_an_image_source_of_one_file_hold_the_same_images_out(folder):
    sources = [source("captions"), source("captions", "picture", name="images")]
    train, held, _ = read_texts(data(folder, train=sources))
    assert held
    assert not set(held) & texts_of(train)
    assert len(train[0]) == len(train[1]) == 18


@pytest.fixture
def toy():
    torch.manual_seed(0)
    model = VLJEPA.from_parts(load_preset("toy")).eval()
    model.residual.label_features_KE.normal_(generator=torch.Generator().manual_seed(1))
    return model, VLJEPAProcessor(model.config)


def prepared(toy, config, **changes):
    raw = {"model": "toy", "decoder": decoder_config().model_dump(), "vocabulary": 128, "data": config.model_dump()}
    raw |= {"train": {"batch_size": 10, "steps": 1}}
    run = validate(DecoderRunConfig, raw | changes, where="test")
    return prepare_decoder(run, model=toy[0], processor=toy[1], vocabulary=None)


def written(inputs, steps=25):
    return {text for step in range(steps) for text in inputs.tokenizer.decode(inputs.batches[step]["ids"])}


def test_no_batch_ever_writes_a_test_caption(toy, folder):
    assert SECRET in written(prepared(toy, data(folder)))  # the control
    inputs = prepared(toy, data(folder, exclude=[source("test").model_dump(exclude={"see"})]))
    said = written(inputs)
    assert not {SECRET, "a 3", "3 again", "a new caption"} & said
    assert not {text.lower() for text in inputs.held_out} & said
    assert {"a 4", "4 again"} <= said


def test_a_guess_never_shows_the_text_that_is_to_be_written(toy, folder, shapes, monkeypatch):
    guess = source("captions", "estimate", name="estimates", view={"name": "text", "like": "images"})
    images = source("images", "picture", path=str(shapes / "captions.jsonl"), views=1)
    inputs = prepared(toy, data(folder, train=[source("captions"), guess, images]))
    estimates = inputs.batches.sources[1]
    shown = []
    monkeypatch.setattr(
        estimates, "estimate", lambda seen, seeds: shown.append(list(seen)) or torch.zeros(len(seen), 24)
    )
    for step in range(10):
        batch = inputs.tokenizer.decode(inputs.batches[step]["ids"])
        start = inputs.batches.sampler.quotas[0]
        for text, seen in zip(batch[start : start + len(shown[-1])], shown[-1], strict=True):
            assert text != seen
            assert {text.split()[0], text.split()[1]} & {seen.split()[0], seen.split()[1]}


def test_guesses_are_embeddings_and_pure(toy, folder, shapes):
    guess = source("captions", "estimate", name="estimates", view={"name": "text", "like": "images"})
    images = source("images", "picture", path=str(shapes / "captions.jsonl"), views=1)
    config = data(folder, train=[source("captions"), guess, images])
    first, second = (prepared(toy, config).batches[3] for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.allclose(first["embeddings"].norm(dim=-1), torch.ones(10), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"train": [source("captions", "estimate")]}, ConfigError, "needs a view of text"),
        (
            {"train": [source("captions", "estimate", view={"name": "text", "like": "absent"})]},
            ConfigError,
            "names no training source with images",
        ),
        ({"train": [source("absent")]}, DataError, "no source"),
        ({"exclude": [{"name": "s", "path": "absent.jsonl"}]}, DataError, "no source"),
    ],
)
def test_what_cannot_be_done_is_told(toy, folder, changes, kind, message):
    with pytest.raises(kind, match=message):
        prepared(toy, data(folder, **changes))


def test_the_gap_of_a_known_example():
    """Predictions are their texts plus a shift, plus noise of a known level."""
    table = {str(number): row for number, row in enumerate(units(3000, width=16))}
    shift = 0.5 * units(1, width=16, seed=1)[0]
    noise = 0.05 * torch.randn(3000, 16, generator=torch.Generator().manual_seed(2))
    exact = torch.stack(list(table.values()))
    predictions = exact + shift + noise
    gap = measure_gap(
        [(predictions, [(text,) for text in table])], embed=lambda texts: torch.stack([table[text] for text in texts])
    )
    assert gap.noise == pytest.approx(0.05, rel=0.02)
    assert gap.shift == pytest.approx(0.5, rel=0.02)
    assert gap.cosine == pytest.approx(float(F.cosine_similarity(predictions, exact).mean()), abs=1e-6)
    assert measure_gap([], embed=lambda texts: exact) is None


def test_an_answer_counts_with_every_question_and_a_caption_once():
    """A caption that several sources repeat may be a slip of the pen; an answer is right each time."""
    rows = [Record(None, ("rectangle",), "what shape is it?", str(number)) for number in range(2)]
    rows += [Record(None, ("a fristbee",), "", "3")]
    counted = _counted([rows, rows])
    assert sorted(counted) == ["a fristbee", "rectangle", "rectangle"]
    assert train_lexicon(counted, ["dog"]) == ("dog", "rectangle")
