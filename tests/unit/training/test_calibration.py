"""The temperatures are fitted on what `classify` and `ask` will be asked."""

from types import SimpleNamespace

import numpy as np
import pytest

from vljepa import VLJEPA
from vljepa.configs import CalibrationConfig, load_preset
from vljepa.training.calibration import calibrate
from vljepa.training.trainer import Trainer
from vljepa.training.validation import RetrievalTask


class Spy:
    """Stands for an encoder, and keeps the texts that it is asked for."""

    def __init__(self, template):
        config = SimpleNamespace(prompts=SimpleNamespace(classification=template))
        self.model, self.asked = SimpleNamespace(config=config, eval=lambda: None), []

    def predictions(self, pairs):
        return np.eye(len(pairs), 4, dtype=np.float32)

    def texts(self, texts):
        self.asked += texts
        return np.eye(len(texts), 4, dtype=np.float32)


@pytest.mark.parametrize(
    ("template", "asked"), [("{}", ["cat", "dog"]), ("a photo of {}", ["a photo of cat", "a photo of dog"])]
)
def test_classify_is_fitted_on_the_texts_that_it_will_see(template, asked):
    records = [
        SimpleNamespace(image=f"{text}.png", source_id=text, texts=[text], query="", candidates=[], type="")
        for text in ("cat", "dog")
    ]
    encoder = Spy(template)
    calibrate([RetrievalTask("pets", records, caption_prompt="")], encoder=encoder, current=CalibrationConfig())
    assert encoder.asked == asked


@pytest.mark.parametrize("trainable", [False, True])
def test_a_run_with_a_template_has_the_texts_at_hand(make_run, trainable):
    """A frozen Y-Encoder reads texts from its cache, which must hold them in the template too."""
    model = load_preset("toy").model_dump(mode="json") | {"prompts": {"classification": "a photo of {}"}}
    model["y_encoder"]["trainable"] = trainable
    result = Trainer(make_run(model=model, train={"steps": 1})).fit()
    fitted = VLJEPA.from_pretrained(result.model_folder).config.calibration
    assert fitted.classify == result.metrics["calibration/classify/temperature"]
