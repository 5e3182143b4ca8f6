"""The bench of near duplicates: what it calls a copy, found or not, right or wrong."""

import numpy as np
from PIL import Image

from eval.bench import duplicates
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import load_preset
from vljepa.inference.embed import Embedder
from vljepa.processing.processor import VLJEPAProcessor


def photo(seed):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


def test_copies_are_counted_by_kind_and_other_finds_are_named(tmp_path, monkeypatch):
    toy = Embedder(VLJEPA(load_preset("toy")), VLJEPAProcessor(load_preset("toy")))
    monkeypatch.setattr(duplicates.Embedder, "from_pretrained", lambda *_, **__: toy)
    for folder, seeds in (("photos", (1, 2)), ("others", (2, 3))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            photo(seed).save(tmp_path / folder / f"{folder}{seed}.png")

    found = duplicates.measure(photos=str(tmp_path / "photos"), others=[str(tmp_path / "others")])

    assert (found["photos"], found["images"], found["unreadable"]) == (2, 2 * 11 + 2, 0)
    assert [found["recall"][half]["half the size"] for half in ("tuned on", "test")] == [1, 1]
    assert set(found["recall"]["test"]) == {*duplicates.CHANGES, "all"}
    [strange] = found["found among other photos, and of two photos"]
    assert strange.endswith("others2.png") or strange.startswith("others2.png"), "the same photo, under two names"
    assert 0 < found["precision"] < 1
