"""What is seen of a source's rows: a union by name, and what is said about a wrong one."""

import pytest

from vljepa.configs import ClipView, PictureView, SourceConfig, StillView, TextView, validate
from vljepa.errors import ConfigError

VIEWS = [PictureView(), ClipView(frames=3), StillView(frames=5), TextView(like="photos", noise=0.5)]


def source(**settings):
    return validate(SourceConfig, {"name": "a", "path": "a", **settings}, where="test")


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
@pytest.mark.parametrize("shortened", [True, False])
def test_a_view_comes_back_as_it_was_written_down(view, shortened):
    """Without defaults too: the name says which one it is."""
    written = source(view=view).model_dump(mode="json", exclude_defaults=shortened)
    assert source(**{key: value for key, value in written.items() if key not in ("name", "path")}).view == view


def test_an_image_is_what_is_seen_unless_a_view_is_named():
    assert source().view == source(view="picture").view == source(view={"name": "picture"}).view == PictureView()
    assert [source(view=view).frames for view in VIEWS] == [1, 3, 5, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"view": "clip"}, r"the key 'view\.frames' is missing"),
        ({"view": {"name": "still"}}, r"the key 'view\.frames' is missing"),
        ({"view": "text"}, r"the key 'view\.like' is missing"),
        (
            {"view": {"name": "clip", "frame": 8}},
            r"unknown key 'view\.frame'.*did you mean 'frames'\? Known here: name,",
        ),
        ({"view": {"name": "clip", "frames": 0}}, r"view\.frames = 0: Input should be greater than or equal to 1"),
        ({"view": {"name": "picture", "frames": 8}}, r"unknown key 'view\.frames'"),
        ({"view": {"frames": 8}}, r"the key 'view\.name' is missing"),
        (
            {"view": {"nam": "clip", "frames": 8}},
            r"unknown key 'view\.nam'.*did you mean 'name'\? It is one of picture,",
        ),
        ({"view": {"name": "film"}}, r"'film'.*expected tags: 'picture', 'clip', 'still', 'text'"),
        ({"frames": 8}, r"unknown key 'frames'"),
        ({"frames": 8, "still": True}, r"unknown key"),
        ({"text_only": {"like": "photos"}}, r"unknown key 'text_only'"),
    ],
)
def test_what_is_no_view_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        source(**settings)
