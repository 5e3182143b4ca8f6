import pytest

from vljepa.data.paths import path_under
from vljepa.errors import DataError


def test_paths_stay_under_the_root(tmp_path):
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "secret.png").touch()
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "inner.png").symlink_to(root / "deep")
    assert path_under(root, "deep/../a.png", where="row") == root / "a.png"
    assert path_under(root, "inner.png", where="row") == root / "deep"
    hostile = [
        "link.png",
        "folder/secret.png",
        "../secret.png",
        "/etc/passwd",
        "~/x",
        "\\\\host\\x",
        "a\0b",
        "",
        "deep/../../secret.png",
    ]
    for text in hostile:
        with pytest.raises(DataError, match="row"):
            path_under(root, text, where="row")


def test_a_neighbour_with_the_roots_name_as_prefix_is_outside(tmp_path):
    (tmp_path / "root").mkdir()
    with pytest.raises(DataError, match="outside"):
        path_under(tmp_path / "root", "../root2/a.png", where="row")


@pytest.mark.parametrize("text", ["https://host/a.jpg", "s3://bucket/a.jpg", "file:///a.jpg"])
def test_an_address_is_said_to_be_one(tmp_path, text):
    with pytest.raises(DataError, match=r"is an address, and images are read from files\..*img2dataset"):
        path_under(tmp_path, text, where="a.csv, row 1")
