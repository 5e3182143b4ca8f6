"""The bar goes to stderr, and only when somebody looks at it."""

from vljepa.parts.progress import fetch_bar


def show_all():
    with fetch_bar() as bar:
        bar("downloading tiny", 500, 1000)
        bar("converting tiny", 0, 0)


def test_nothing_is_printed_into_a_pipe(capsys):
    show_all()
    assert capsys.readouterr() == ("", "")


def test_terminal_sees_the_stage_on_stderr(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_all()
    out, err = capsys.readouterr()
    assert out == ""
    assert "converting tiny" in err
