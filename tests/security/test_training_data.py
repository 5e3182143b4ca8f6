"""Data and recipes of a stranger: read, refused in one line, or skipped. Nothing in them is ever run."""

import io
import json
import pickle
import signal
import struct
import tarfile
from contextlib import suppress

import pytest
from PIL import Image

from tests.security.payloads import Payload, object_array, pickled, torched
from vljepa.configs import SourceConfig
from vljepa.data.checking import check_data
from vljepa.data.images import open_still
from vljepa.data.sources import load_source
from vljepa.errors import DataError

CAP = 1_000_000


@pytest.fixture
def secret(tmp_path):
    """An image outside of the data's folder."""
    path = tmp_path / "secret.png"
    path.write_bytes(sound())
    return path


@pytest.fixture
def folder(tmp_path):
    """The data's folder."""
    path = tmp_path / "data"
    path.mkdir()
    return path


def sound():
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


def load(path):
    """All that training would read: rows, and every image."""
    records = load_source(SourceConfig(name="s", path=str(path)))
    for record in records:
        with suppress(DataError):
            open_still(record.image, max_pixels=CAP)
    return records


def write_tar(path, *members):
    """Members are (name, content) or a finished `TarInfo` without content."""
    with tarfile.open(path, "w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return path


def test_the_payload_works(tmp_path):
    """The control of this whole page."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "run")))  # noqa: S301
    assert (tmp_path / "run").is_dir()


CODE = {"pyd": pickled, "pkl": pickled, "pickle": pickled, "pth": torched, "npy": object_array, "json.pkl": pickled}


@pytest.mark.parametrize("extension", CODE)
def test_code_beside_an_image_in_a_tar_is_not_read(folder, sentinel, extension):
    """PITFALLS 20: WebDataset's own reader would unpickle some of these."""
    tar = write_tar(
        folder / "a.tar", ("1.png", sound()), ("1.txt", b"red"), (f"1.{extension}", CODE[extension](sentinel))
    )
    assert [record.texts for record in load(tar)] == [("red",)]


@pytest.mark.parametrize("extension", ["txt", "json", "png"])
def test_code_in_disguise_is_refused_or_skipped(folder, sentinel, extension):
    tar = write_tar(folder / "a.tar", ("1.png", sound()), ("1.txt", b"red"), (f"1.{extension}", pickled(sentinel)))
    with suppress(DataError):
        load(tar)


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png"])
def test_a_name_in_a_tar_is_only_a_name(folder, name):
    text = name.removesuffix("png") + "txt"
    before = set(folder.parent.rglob("*"))
    [record] = load(write_tar(folder / "a.tar", (name, sound()), (text, b"red")))
    assert open_still(record.image, max_pixels=CAP).size == (4, 4)
    assert set(folder.parent.rglob("*")) - before == {folder / "a.tar"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_in_a_tar_is_no_image(folder, secret, kind):
    link = tarfile.TarInfo("1.png")
    link.type, link.linkname = kind, str(secret)
    tar = write_tar(folder / "a.tar", link, ("1.txt", b"red"))
    with pytest.raises(DataError, match="no column 'image'"):
        load(tar)


def test_a_tar_s_json_names_no_image_outside(folder, secret):
    tar = write_tar(folder / "a.tar", ("1.json", json.dumps({"image": str(secret), "text": "x"}).encode()))
    with pytest.raises(DataError, match="no column 'image'"):
        load(tar)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("1.txt", b"x" * (1 << 20) + b"x", "a text of 1,048,577 bytes"),
        ("1.json", b"[" * 100_000, "not JSON"),
        ("1.json", b"[1]", "not a JSON object"),
        ("1.txt", b"\xff\xfe", "not UTF-8"),
    ],
    ids=["a long text", "nested", "a list", "bytes"],
)
def test_odd_texts_in_a_tar_are_refused(folder, name, content, message):
    with pytest.raises(DataError, match=message):
        load(write_tar(folder / "a.tar", ("1.png", sound()), (name, content)))


def with_size(tar, size):
    """The first header's size changed, its checksum mended."""
    content = bytearray(tar.read_bytes())
    content[124:136] = size
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    tar.write_bytes(content)
    return tar


SIZES = {
    "too large": b"77777777777\0",
    "minus one": b"\xff" * 12,
    "minus a block": b"\xff" * 10 + b"\xfe\x00",
    "enormous": b"\x80" + struct.pack(">xxxQ", 1 << 62),
    "no number": b"nonsense\0\0\0\0",
}


@pytest.fixture
def not_for_ever():
    """Ends a test that goes round and round."""

    def end(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, b"V"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_size_that_lies_is_refused(folder, size, kind, not_for_ever):
    member = tarfile.TarInfo("1.png")
    member.type = kind
    tar = write_tar(folder / "a.tar", member, ("1.png", sound()), ("1.txt", b"red"))
    with suppress(DataError):
        assert len(load(with_size(tar, size))) <= 1


def test_a_tar_that_is_cut_anywhere_is_read_or_refused(folder):
    tar = write_tar(folder / "a.tar", ("1.png", sound()), ("1.txt", b"red"), ("2.png", sound()), ("2.txt", b"green"))
    whole, refused = tar.read_bytes()[: 512 * 8], 0
    for length in range(0, len(whole), 97):
        tar.write_bytes(whole[:length])
        try:
            load(tar)
        except DataError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_refused_with_the_way_out(folder, mode):
    with tarfile.open(folder / "a.tar", mode) as tar:
        tar.addfile(tarfile.TarInfo("1.png"))
    with pytest.raises(DataError, match="no readable tar") as error:
        load(folder / "a.tar")
    assert "uncompressed" in error.value.fix


COMMANDS = [
    "pipe:mkdir {}",
    "|mkdir {}",
    "$(mkdir {})",
    "`mkdir {}`",
    "; mkdir {};",
    "file://{}",
    "http://127.0.0.1:9/x.png",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_for_a_path_is_a_missing_file(folder, sentinel, command):
    text = command.format(sentinel)
    with pytest.raises(DataError, match=r"no source|is a stream"):
        load(text)
    (folder / "rows.jsonl").write_text(json.dumps({"image": text, "text": "x"}))
    with suppress(DataError):
        report = check_data(str(folder / "rows.jsonl"), max_pixels=CAP)
        assert len(report.broken) == 1
