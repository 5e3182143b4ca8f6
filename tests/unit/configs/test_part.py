"""The grammar of part names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vljepa.configs import PartSpec


@pytest.mark.parametrize(
    ("text", "source", "name", "revision", "layers"),
    [
        ("transformers:meta-llama/Llama-3.2-1B#8:16", "hub", "meta-llama/Llama-3.2-1B", None, (8, 16)),
        ("transformers:google/siglip2@abc123", "hub", "google/siglip2", "abc123", None),
        ("timm:asset/efficientnet-lite0", "asset", "efficientnet-lite0", None, None),
        ("timm:./weights/mine", "folder", "./weights/mine", None, None),
        ("open_clip:/weights/mine", "folder", "/weights/mine", None, None),
        ("transformers:~/mine#0:2", "folder", "~/mine", None, (0, 2)),
    ],
)
def test_a_shorthand_says_it_all_and_back(text, source, name, revision, layers):
    spec = PartSpec.model_validate(text)
    assert (spec.source, spec.name, spec.revision, spec.layers) == (source, name, revision, layers)
    assert str(spec) == text
    assert PartSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("text", ["", "resnet18", "keras:resnet18", "timm:", "timm:a b", "timm:a#3", "timm:a#x:y"])
def test_what_is_no_part_name_is_refused(text):
    with pytest.raises(ValidationError):
        PartSpec.model_validate(text)


@pytest.mark.parametrize("layers", [(3, 3), (4, 2), (-1, 2)])
def test_a_range_must_be_one(layers):
    with pytest.raises(ValidationError, match="is not a range"):
        PartSpec(backend="transformers", name="a/b", layers=layers)


def test_a_random_part_needs_its_config():
    with pytest.raises(ValidationError, match="needs `config`"):
        PartSpec(backend="timm", name="x", source="random")


@given(st.integers(0, 50), st.integers(1, 50))
def test_any_range_survives_its_shorthand(first, length):
    spec = PartSpec(backend="transformers", name="a/b", layers=(first, first + length))
    assert PartSpec.model_validate(str(spec)) == spec
