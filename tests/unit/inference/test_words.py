"""Choosing among candidates, and how sure the choice is."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vljepa.configs import AlignedConfig, ChoiceConfig, EntityConfig, LabelPriorConfig
from vljepa.inference.words import Evidence, Writer, naming, repeats, stutters, sure_of
from vljepa.models.types import Entities
from vljepa.processing.taxonomy import Taxonomy

TAXONOMY = Taxonomy.of("imagenet-1k")
BEAGLE, LAPTOP = TAXONOMY.classes_of("beagle")[0], TAXONOMY.classes_of("laptop")[0]


def probabilities(**shares):
    found = np.zeros(1000, dtype=np.float32)
    for name, share in shares.items():
        found[TAXONOMY.classes_of(name.replace("_", " "))[0]] = share
    return found


def evidence(**changes):
    return Evidence(**{"agreement": 0.5, "likelihood": -1.0, "named": 0.0, "wrong": 0.0, **changes})


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("a dog dog", True),
        ("a man in a man in a hat", True),
        ("a dog on the dog bed", False),
        ("in a hat in a car", True),
    ],
)
def test_stutters(text, does):
    assert stutters(text) is does


@pytest.mark.parametrize(
    ("text", "does"),
    [("a cat on top of a persian cat", True), ("a man and a dog and a ball", False), ("the end of the road", False)],
)
def test_words_that_carry_meaning_are_said_once(text, does):
    assert repeats(text) is does


def test_what_a_text_names_is_weighed_by_the_encoder():
    classes = probabilities(beagle=0.7, husky=0.2)
    assert naming("a beagle on a laptop", TAXONOMY, classes) == pytest.approx((0.7, 1.0))
    assert naming("a dog", TAXONOMY, classes) == pytest.approx((0.9, 0.0))  # too wide to be wrong
    assert naming("a happy day", TAXONOMY, classes) == (0.0, 0.0)


def test_the_surest_of_the_narrow_is_the_fallback():
    classes = probabilities(beagle=0.5, husky=0.45, laptop=0.05)
    text, share = sure_of(classes, TAXONOMY, least=0.9)
    assert (text, share) == ("a dog", pytest.approx(0.95))
    assert sure_of(probabilities(beagle=0.95), TAXONOMY, least=0.9)[0] == "a beagle"
    assert sure_of(probabilities(beagle=0.3, laptop=0.3), TAXONOMY, least=0.9) is None


def test_weights_decide():
    config = ChoiceConfig(agreement=1.0, likelihood=0.1, named=0.5, wrong=0.2)
    assert evidence(named=0.9).score(config) > evidence().score(config) > evidence(wrong=1.0).score(config)


def test_confidence_is_a_logistic_regression_on_as_many_values_as_there_are_weights():
    weights = [0.0, 2.0, 0.0, 3.0, -1.0]
    assert evidence(agreement=0.0).confidence(weights) == 0.5
    assert evidence(named=1.0).confidence(weights) == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert evidence(named=1.0).confidence([1.0, 0.0, 1.0]) == 0.5
    assert evidence().confidence(None) is None


class Decoder:
    """Says a text by the strongest entity, and another without."""

    def __init__(self, **choice):
        entities = EntityConfig(names="imagenet-1k", count=2)
        self.config = SimpleNamespace(
            entities=entities, choice=ChoiceConfig(**choice), generation=SimpleNamespace(max_new_tokens=8)
        )
        self.likelihood, self.all_told = {}, []
        self.phrases = ("a beagle face", "a red heart")

    def nearest(self, embeddings):
        return Entities(
            torch.tensor([[LAPTOP, BEAGLE]] * len(embeddings)), torch.tensor([[0.5, 0.2]] * len(embeddings))
        )

    def drawn(self, classes):
        return classes[:, LAPTOP] > 0.2  # stands for whatever looks like a drawing

    def nearest_phrases(self, embeddings, *, count):
        return [list(self.phrases[:count])] * len(embeddings)

    def generate(self, embeddings, *, entities, candidates, **options):
        assert len(embeddings) == len(entities.numbers_BN)
        self.all_told.append(entities)
        told = (entities.strengths_BN > 0).any(1).tolist()
        return [name if is_told else "a day out" for name, is_told in zip(self.names(entities), told, strict=True)]

    def names(self, entities):
        return [f"a {TAXONOMY.names_of(number)[0]}" for number in entities.numbers_BN[:, 0].tolist()]

    def log_likelihood(self, rows, texts, mask, entities, shift):
        return torch.tensor([self.likelihood.get(text, -1.0) for text in texts])


class Words:
    def decode(self, ids, entities):
        return list(ids)

    def encode(self, texts, *, max_tokens, entities):
        return Texts(texts), torch.ones(len(texts), 2)

    def knows(self, text):
        return "fewodudod" not in text


class Texts(list):
    def to(self, device):
        return self


def writer(residual=None, **choice):
    decoder = Decoder(**choice)
    model = SimpleNamespace(
        config=SimpleNamespace(residual=residual or LabelPriorConfig()),
        y_decoder=decoder,
        generate=decoder.generate,
        x_encoder=SimpleNamespace(num_classes=1000),
        parameters=lambda: iter([torch.zeros(1)]),
    )
    return Writer(model, SimpleNamespace(words=Words()), embed=lambda texts: np.ones((len(texts), 3), np.float32))


ROWS = np.ones((1, 3), dtype=np.float32) / 3


def test_a_name_that_the_encoder_is_sure_of_beats_the_plain_caption():
    classes = probabilities(beagle=0.9)[None]
    assert writer(named=1.0).write(ROWS, classes)[0].text == "a beagle"
    assert writer(named=-1.0).write(ROWS, classes)[0].text == "a day out"


def test_phrases_are_candidates_of_captions_and_not_of_answers():
    classes = probabilities(beagle=0.9)[None]
    assert writer(phrases=2, phrase=-1.0).write(ROWS, classes)[0].text in ("a beagle face", "a red heart")
    assert writer(phrases=2, phrase=1.0, named=1.0).write(ROWS, classes)[0].text == "a beagle"
    assert writer(phrases=2, phrase=-1.0).write(ROWS, classes, task="answer")[0].text == "a beagle"


def test_without_the_classifier_the_nearest_names_are_told():
    one = writer()
    assert one.entities(ROWS, None).numbers_BN.tolist() == [[LAPTOP, BEAGLE]]
    one.write(ROWS)
    [told] = one.decoder.all_told
    assert told.numbers_BN[0].tolist() == [LAPTOP, BEAGLE]


def test_candidates_with_entities_and_without_are_written_in_one_batch():
    one = writer()
    texts = one.candidates(np.repeat(ROWS, 3, axis=0), one.entities(np.repeat(ROWS, 3, axis=0), None))
    assert texts == [["a laptop", "a day out"]] * 3
    [told] = one.decoder.all_told
    assert told.strengths_BN.tolist() == [pytest.approx([0.5, 0.2])] * 3 + [[0.0, 0.0]] * 3


def test_flawed_candidates_are_left_out_unless_all_are(monkeypatch):
    one = writer()
    entities = one.entities(ROWS, probabilities(beagle=0.9)[None])
    monkeypatch.setattr(Decoder, "names", lambda self, entities: ["a fewodudod"] * len(entities.numbers_BN))
    assert one.candidates(ROWS, entities) == [["a day out"]]
    monkeypatch.setattr(one, "words", SimpleNamespace(decode=Words().decode, knows=lambda text: False))
    assert one.candidates(ROWS, entities) == [["a fewodudod", "a day out"]]


def test_below_the_fallback_the_caption_is_what_is_sure():
    classes = probabilities(beagle=0.5, husky=0.45)[None]
    sure = {"named": 1.0, "sure": 0.9, "confidence": [-5.0, 0.0, 0.0, 0.0, 0.0]}
    [words] = writer(**sure, fallback=0.2).write(ROWS, classes)
    assert (words.text, words.confidence) == ("a dog", pytest.approx(0.95))
    [words] = writer(**{**sure, "sure": 0.4}, fallback=0.2).write(ROWS, classes)
    assert words.text == "a beagle"  # a candidate that names what is sure goes before the bare name
    [words] = writer(**sure, fallback=0.0).write(ROWS, classes)
    assert words.text == "a beagle"
    assert words.confidence < 0.01


def test_an_answer_is_the_decoder_s_first_without_a_flaw(monkeypatch):
    one = writer(named=-1.0)
    classes = probabilities(beagle=0.9)[None]
    assert one.write(ROWS, classes, task="answer")[0].text == "a beagle"
    monkeypatch.setattr(Decoder, "names", lambda self, entities: ["a fewodudod"] * 2)
    assert one.write(ROWS, classes, task="answer")[0].text == "a day out"
    assert one.write(ROWS, classes)[0].text == "a day out"


@pytest.mark.parametrize("residual", [AlignedConfig(), LabelPriorConfig(label_names=["cat", "dog"])])
def test_another_classifier_s_numbers_are_not_read_as_these_names(residual):
    one = writer(residual)
    one.write(ROWS, probabilities(beagle=0.9)[None])
    assert one.decoder.all_told[0].numbers_BN[0].tolist() == [LAPTOP, BEAGLE]  # by nearness


def test_answers_are_greedy_unless_beams_are_asked_for(monkeypatch):
    seen = []
    one = writer()
    generate = one.model.generate
    one.model.generate = lambda rows, **options: seen.append(options.get("num_beams")) or generate(rows, **options)
    one.write(ROWS, task="answer", num_beams=None)
    one.write(ROWS, task="answer", num_beams=3)
    one.write(ROWS)
    assert seen == [1, 3, None]


def test_entities_are_the_most_probable_classes():
    told = writer().entities(ROWS, probabilities(beagle=0.6, laptop=0.3)[None])
    assert isinstance(told, Entities)
    assert told.numbers_BN.tolist() == [[BEAGLE, LAPTOP]]
    assert told.strengths_BN[0].tolist() == pytest.approx([0.6, 0.3])


def test_an_answer_is_the_best_of_its_own_near_phrases_and_common_answers():
    classes = probabilities(beagle=0.9)[None]
    answer = {"texts": ["yes", "no"], "nearest": 1, "likelihood": 1.0}
    one = writer(answer=answer)
    assert one.candidates(ROWS, one.entities(ROWS, classes), task="answer") == [
        ["a beagle", "a day out", "a beagle face", "yes"]
    ]
    one.decoder.likelihood = {"yes": -0.5}
    assert one.write(ROWS, classes, task="answer")[0].text == "yes"
    assert one.write(ROWS, classes, task="text")[0].text == "a beagle"  # a text's own embedding is no question
    liked = writer(answer={**answer, "phrase": -2.0})
    assert liked.write(ROWS, classes, task="answer")[0].text == "a beagle face"
    unfitted = writer(answer={**answer, "nearest": 0})
    unfitted.decoder.likelihood = {"yes": -0.5}
    assert unfitted.write(ROWS, classes, task="answer")[0].text == "a beagle"


def test_below_the_fallback_a_drawing_is_the_nearest_phrase_and_a_photo_is_not():
    unsure = {"named": 1.0, "sure": 0.9, "fallback": 0.2, "phrases": 2, "confidence": [-5.0, 0.0, 0.0, 0.0, 0.0]}
    assert writer(**unsure).write(ROWS, probabilities(beagle=0.5, laptop=0.3)[None])[0].text == "a beagle face"
    assert writer(**unsure).write(ROWS, probabilities(beagle=0.5, husky=0.45)[None])[0].text == "a dog"
    sure = {**unsure, "fallback": 0.0}
    assert writer(**sure).write(ROWS, probabilities(beagle=0.5, laptop=0.3)[None])[0].text == "a beagle"
    assert (
        writer(**{**unsure, "phrases": 0}).write(ROWS, probabilities(beagle=0.95, laptop=0.3)[None])[0].text
        == "a beagle"
    )
