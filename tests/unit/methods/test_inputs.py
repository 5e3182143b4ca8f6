"""What a run reads: the warning that a validation image is a training image too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import draw_shape, write_rows
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import RunConfig, load_preset
from vljepa.methods.vision_language.inputs import prepare
from vljepa.validation.tasks import RetrievalTask


@pytest.mark.parametrize("cached", [True, False])
def test_numbers_of_another_file_are_no_overlap_and_other_ids_and_contents_are(
    make_run: Callable[..., RunConfig], tmp_path: Path, cached: bool
) -> None:
    for shift, name in enumerate("abcd"):
        draw_shape(tmp_path / f"{name}.png", colour="red", shape="bar", shift=shift)
    rows = {
        "train": {"a": "0", "b": "coco:1"},
        "numbered": {"c": "0", "d": "coco:0"},
        "saved again": {"c": "coco:1", "d": "1"},
        "the same": {"a": "5", "d": "6"},
    }
    for file, ids in rows.items():
        named = [{"image": f"{name}.png", "text": name, "source_id": one} for name, one in ids.items()]
        write_rows(tmp_path / f"{file}.jsonl", named)
    config = load_preset("toy")
    model, processor = VLJEPA.from_parts(config), VLJEPAProcessor(config)
    found = {}
    for file in rows:
        data = {
            kind: [{"name": kind, "path": str(tmp_path / f"{name}.jsonl"), "root": str(tmp_path)}]
            for kind, name in (("train", "train"), ("validation", file))
        }
        run = make_run(data=data | ({} if cached else {"cache": None}), train={"batch_size": 2})
        found[file] = prepare(run, model=model, processor=processor).overlap
    assert found == {"train": 2, "numbered": 0, "saved again": 1, "the same": 1}


def test_copies_of_an_image_are_one_image_to_the_loss_and_to_retrieval(
    make_run: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """COCO with an image's file per caption: its other captions were false negatives, and wrong in recall."""
    for name, shift in (("a", 0), ("copy", 0), ("b", 3)):
        draw_shape(tmp_path / f"{name}.png", colour="red", shape="bar", shift=shift)
    rows = [{"image": f"{name}.png", "text": f"text of {name}"} for name in ("a", "copy", "b")]
    write_rows(tmp_path / "rows.jsonl", rows)
    config = load_preset("toy")
    model, processor = VLJEPA.from_parts(config), VLJEPAProcessor(config)
    source = {"name": "s", "path": str(tmp_path / "rows.jsonl")}
    run = make_run(data={"train": [source], "validation": [source]}, train={"batch_size": 2})
    inputs = prepare(run, model=model, processor=processor)
    first, copy, other = (record.source_id for record in inputs.train[0])
    assert first == copy != other == str(tmp_path / "b.png")
    [task] = inputs.tasks
    assert isinstance(task, RetrievalTask)
    assert len(task._paths) == 2
