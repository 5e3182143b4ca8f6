"""Near duplicates: copies are found, other images are not, and every image of a group is like its first."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from vljepa.data.fingerprints import Fingerprint
from vljepa.errors import ConfigError, DataError
from vljepa.inference.index import Index, near_duplicates
from vljepa.inference.index.duplicates import _Looks
from vljepa.inference.index.entry import Entry
from vljepa.inference.index.files import find_files
from vljepa.inference.index.rows import Shards
from vljepa.inference.index.shard import table_of


def photo(seed, size=(112, 84)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def library(tmp_path):
    """Ten photos, and copies of two of them; a flat image twice, and one shape in two colours."""
    folder = tmp_path / "library"
    folder.mkdir()
    for seed in range(10):
        photo(seed).save(folder / f"{seed}.png")
    photo(3).resize((56, 42)).save(folder / "3 small.jpg", quality=40)
    photo(3).save(folder / "3 other.webp", quality=50)
    photo(7).crop((2, 2, 110, 82)).save(folder / "7 cropped.png")
    for name in ("flat", "flat again"):
        Image.new("RGB", (9, 9), "red").save(folder / f"{name}.png")
    shape = np.zeros((64, 64), dtype=bool)
    shape[10:40, 20:50] = True
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        Image.fromarray(np.where(shape[..., None], np.array(colour), 0).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


def named(groups):
    return [(group.path, [one.path for one in group.duplicates]) for group in groups]


def test_copies_are_found_and_nothing_else(model, processor, library):
    index = Index.build(model, processor, library)
    counts = []

    groups, broken = near_duplicates(index.entries, index.folder, progress=counts.append)

    assert named(groups) == [
        ("7.png", ["7 cropped.png"]),
        ("3.png", ["3 small.jpg", "3 other.webp"]),
        ("flat again.png", ["flat.png"]),
    ]
    first, second, flat = groups
    assert first.duplicates[0].cosine > 0.99
    assert 0 < first.duplicates[0].bits <= 12
    assert [one.bits <= 2 for one in second.duplicates] == [True, True]
    assert flat.duplicates[0].bits is None
    assert broken == {}
    assert sum(counts) == len(index)


def test_fewer_bits_find_less(model, processor, library):
    index = Index.build(model, processor, library)
    groups, _ = near_duplicates(index.entries, index.folder, bits=2)
    assert named(groups) == [("3.png", ["3 small.jpg", "3 other.webp"]), ("flat again.png", ["flat.png"])]
    with pytest.raises(ConfigError, match="40 of 64 bits"):
        near_duplicates(index.entries, index.folder, bits=40)


def looks(*bits, rows=None, contents=None, colours=None):
    """Images of these hashes, whose embeddings agree and whose colours are equal, if nothing else is said."""
    prints = [
        Fingerprint(
            content=contents[n] if contents else str(n),
            bits=one,
            thumbnail=np.full((8, 8, 3), colours[n] if colours else 0, dtype=np.uint8),
        )
        for n, one in enumerate(bits)
    ]
    rows = np.ones((len(bits), 1), dtype=np.float32) if rows is None else np.array(rows, dtype=np.float32)
    entries = Shards({"a": table_of([Entry(path=str(n), size=1, mtime=1.0) for n in range(len(bits))], rows)})
    found = _Looks(prints, entries, np.arange(len(bits))).groups(bits=12, progress=None)
    return [(first, [one for one, *_ in others]) for first, others in found]


def test_every_image_of_a_group_is_like_its_first():
    """From one to the next there are ten bits; a chain of them is not one group."""
    chain = [(1 << 10 * number) - 1 for number in range(5)]
    assert looks(*chain) == [(0, [1]), (2, [3])]
    assert looks(chain[0], chain[2], chain[1]) == [(0, [2])], "of two groups that it may be in, it is in the first"


def test_the_same_shape_in_another_colour_is_another_image():
    assert looks(5, 5, 5, colours=[(200, 10, 10), (200, 10, 90), (10, 200, 10)]) == [(0, [1])]


def test_the_more_bits_differ_the_more_embeddings_have_to_agree():
    def rows(cosine):
        return [[1.0, 0.0], [cosine, (1 - cosine**2) ** 0.5]]

    near, far = (1 << 10) - 1, (1 << 12) - 1
    assert looks(0, near, rows=rows(0.51)) == [(0, [1])]
    assert looks(0, near, rows=rows(0.49)) == []
    assert looks(0, far, rows=rows(0.91)) == [(0, [1])]
    assert looks(0, far, rows=rows(0.89)) == []
    assert looks(0, (1 << 13) - 1) == []
    assert looks(0, far, rows=rows(0.0), contents=["same", "same"]) == [(0, [1])]


def test_flat_images_are_alike_only_with_the_same_content():
    assert looks(None, None, None, 5, contents=["a", "b", "a", "c"]) == [(0, [2])]


def test_very_many_of_the_same_take_little_time_and_memory():
    import tracemalloc

    tracemalloc.start()
    [(first, others)] = looks(*[5] * 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first, len(others)) == (0, 19_999)
    assert peak < 60e6, "all pairs would be 400 million"


def test_images_inside_of_data_files_and_files_that_are_gone(model, processor, library, tmp_path):
    (tmp_path / "copy.txt").write_text("a photo")
    with tarfile.open(tmp_path / "more.tar", "w") as tar:
        tar.add(library / "3.png", "copy.png")
        tar.add(tmp_path / "copy.txt", "copy.txt")
    found = find_files([library, tmp_path / "more.tar"])
    index = Index.build(model, processor, found)
    (library / "7.png").unlink()

    groups, broken = near_duplicates(index.entries, index.folder, stored=found.stored)

    assert ("library/3.png", ["library/3 small.jpg", "library/3 other.webp", "more.tar/copy.png"]) in named(groups)
    assert list(broken) == ["library/7.png"]
    with pytest.raises(DataError, match=r"none of the \d+ images of the index can be read"):
        near_duplicates(index.entries, tmp_path / "elsewhere")
