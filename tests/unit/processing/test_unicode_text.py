import pytest

from vljepa.errors import ConfigError, DataError
from vljepa.processing.unicode_text import check_text, check_unicode, unicode_fault


def test_what_is_no_character_is_found_with_its_place():
    assert unicode_fault("caf\udce9") == "is not Unicode at character 4 (\\udce9)"
    assert unicode_fault("\N{PILE OF POO} \u732b") is None
    with pytest.raises(DataError, match=r"row 3: text 'caf\\udce9' is not Unicode at character 4"):
        check_unicode("caf\udce9", what="row 3: text", kind=DataError)
    with pytest.raises(ConfigError, match=r"is not Unicode at character 9001 .*\.\.\. is|is not Unicode") as caught:
        check_unicode("x" * 9000 + "\ud83d", what="the text")
    assert len(str(caught.value)) < 250
    assert str(caught.value).encode()


@pytest.mark.parametrize("value", [None, 3, 2.5, ["a"], b"a"])
def test_what_is_no_text_is_said(value):
    with pytest.raises(ConfigError, match=f"the question is .*of type {type(value).__name__}, not a text"):
        check_text(value, what="the question")
