import pytest

from vljepa.errors import ImageError, VideoError
from vljepa.processing.file_errors import naming_file


class StrangeError(Exception):
    """Of some library."""


@pytest.mark.parametrize(
    "error", [StrangeError("no\nreason"), KeyError("x"), RecursionError(), NotImplementedError("x" * 999)]
)
def test_any_error_of_a_library_names_the_file(error):
    with (
        pytest.raises(ImageError, match=r"'a\.png' cannot be read \(" + type(error).__name__) as caught,
        naming_file("a.png", ImageError),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error", [VideoError("a", fix="b"), MemoryError(), KeyboardInterrupt(), SystemExit(3), GeneratorExit()]
)
def test_what_is_no_fault_of_the_file_passes(error):
    with pytest.raises(type(error)) as caught, naming_file("a.png", ImageError):
        raise error
    assert caught.value is error
