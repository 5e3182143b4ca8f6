"""Shards behind addresses: which, fetched how, in what order, and kept for how long."""

import errno
import io
import json
import tarfile
from collections import Counter
from http.client import HTTPMessage
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from tests.shard_server import serve
from tests.unit.data.test_formats import image
from vljepa.configs import SourceConfig
from vljepa.data import shards, streaming
from vljepa.data.shards import fetch_shard, is_shards, shard_addresses, shown
from vljepa.data.sources import load_source
from vljepa.data.streaming import ShardStream
from vljepa.errors import DataError

ROWS = (3, 1, 4, 2, 3)
"""Rows of each shard."""


def write_shard(path, names):
    with tarfile.open(path, "w") as tar:
        for name in names:
            for suffix, content in ((".png", image("red")), (".json", json.dumps({"text": name}).encode())):
                member = tarfile.TarInfo(f"{name}{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "remote"
    folder.mkdir()
    for shard, count in enumerate(ROWS):
        write_shard(folder / f"{shard:03}.tar", [f"{shard}-{row}" for row in range(count)])
    with serve(folder) as server:
        yield server


@pytest.fixture
def open_stream(server, tmp_path):
    def open_stream(seed=0, number=0, reach=2, folder="spool", pattern="{000..004}.tar"):
        source = SourceConfig(name="web", path=f"{server.address}/{pattern}")
        return ShardStream(source, number=number, seed=seed, folder=tmp_path / folder, root=tmp_path, reach=reach)

    return open_stream


def read(stream, positions):
    return [stream[position].texts[0] for position in positions]


class TestAddresses:
    def test_ranges_multiply_and_keep_their_zeros(self):
        assert shard_addresses("https://h/a{08..11}/b{0..1}.tar") == [
            f"https://h/a{first}/b{second}.tar" for first in ("08", "09", "10", "11") for second in "01"
        ]
        assert shard_addresses("https://h/one.parquet?key=1") == ["https://h/one.parquet?key=1"]

    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("https://h/{5..3}.tar", "stands for 0 shards"),
            ("https://h/{0..9999999}.tar", "stands for 10,000,000 shards"),
            ("https://h/{0..3}.tar.gz", "no known kind"),
            ("https://h/{0..3}", "no known kind"),
            ("https://[h/a.tar", "is no address"),
            ("https:///a.tar", "is no address"),
            ("https://h:port/a.tar", "is no address"),
            ("https://h/a b.tar", "is no address"),
            ("https://h/\u00e9.tar", "is no address"),
            ("https://me:word@h/a.tar", "holds a user or a password"),
        ],
    )
    def test_what_is_no_pattern_is_refused(self, pattern, message):
        with pytest.raises(DataError, match=message):
            shard_addresses(pattern)

    def test_only_web_addresses_are_shards(self):
        assert is_shards("https://h/{000..123}.tar")
        assert is_shards("http://h/a.parquet")
        for path in ("pipe:curl h", "s3://b/a.tar", "file:///etc/a.tar", "a/{0..3}.tar", "hf:name:train", "|cat"):
            assert not is_shards(path)

    @pytest.mark.parametrize(
        ("address", "seen"),
        [
            ("https://me:secret@h:8/a.tar?signature=secret", "https://h:8/a.tar"),
            ("https://me:secret/secret@h/a.tar", "https://..."),
            ("https://me:secret?secret@h/a.tar", "https://..."),
            ("https://me:1/secret@h/a.tar", "https://..."),
            ("https://h/a@main.tar", "https://h/a@main.tar"),
        ],
    )
    def test_secrets_are_not_shown(self, address, seen):
        assert shown(address) == seen
        if "secret@" in address and "1" not in address:
            with pytest.raises(DataError) as raised:
                shard_addresses(address)
            assert "secret" not in str(raised.value)


class TestFetching:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(shards, "_FIRST_WAIT", 0.001)

    @pytest.mark.parametrize("code", [503, 429, 0], ids=["unavailable", "too many", "cut short"])
    def test_what_fails_is_tried_again(self, server, tmp_path, code):
        server.failures, server.code = 2, code
        file = tmp_path / "spool" / "0.tar"
        fetch_shard(f"{server.address}/000.tar", file)
        assert file.read_bytes() == (tmp_path / "remote" / "000.tar").read_bytes()
        assert server.asked == ["000.tar"] * 3
        fetch_shard(f"{server.address}/000.tar", tmp_path / "spool" / "0.tar")
        assert len(server.asked) == 3, "it is there"

    @pytest.mark.parametrize(("code", "tries"), [(503, 4), (0, 4), (404, 1), (403, 1)])
    def test_what_goes_on_failing_is_said_and_leaves_nothing(self, server, tmp_path, code, tries):
        server.failures, server.code = 100, code
        with pytest.raises(DataError, match=r"/000.tar' cannot be fetched"):
            fetch_shard(f"{server.address}/000.tar?key=secret", tmp_path / "spool" / "0.tar")
        assert len(server.asked) == tries
        assert [file.suffix for file in (tmp_path / "spool").iterdir()] == [".lock"]

    @pytest.mark.parametrize(
        "place",
        [
            "/000.tar?secret",
            "ftp://127.0.0.1/secret",
            "file:///secret",
            "http://127.0.0.1:secret/000.tar",
            "http://[secret/000.tar",
        ],
    )
    def test_it_is_led_to_no_other_kind_of_place(self, server, tmp_path, place):
        server.failures, server.code, server.location = 99, 302, place
        with pytest.raises(DataError, match="it leads in a circle, or to no web address as safe as this") as raised:
            fetch_shard(f"{server.address}/000.tar", tmp_path / "spool" / "0.tar")
        assert "secret" not in str(raised.value)
        assert len(server.asked) == (5 if place.startswith("/") else 1), "round in a circle some times, or once"

    def test_it_is_led_from_https_to_no_plain_http(self):
        request = Request("https://h/a.tar")
        headers = HTTPMessage()
        with pytest.raises(HTTPError):
            shards._Redirects().redirect_request(request, io.BytesIO(), 302, "", headers, "http://h/a.tar")
        followed = shards._Redirects().redirect_request(request, io.BytesIO(), 302, "", headers, "https://h/b.tar")
        assert followed is not None
        assert followed.full_url == "https://h/b.tar"

    def test_it_is_led_to_another_web_address(self, server, tmp_path):
        server.failures, server.code, server.location = 1, 302, f"{server.address}/001.tar"
        file = tmp_path / "spool" / "0.tar"
        fetch_shard(f"{server.address}/000.tar", file)
        assert file.read_bytes() == (tmp_path / "remote" / "001.tar").read_bytes()

    def test_a_length_that_is_no_number_is_tried_again(self, server, tmp_path):
        server.failures, server.code = 1, -1
        file = tmp_path / "spool" / "0.tar"
        fetch_shard(f"{server.address}/000.tar", file)
        assert file.read_bytes() == (tmp_path / "remote" / "000.tar").read_bytes()

    def test_a_full_disk_is_said_at_once(self, server, tmp_path, monkeypatch):
        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shards.shutil, "copyfileobj", full)
        with pytest.raises(DataError, match="No space left"):
            fetch_shard(f"{server.address}/000.tar", tmp_path / "spool" / "0.tar")
        assert server.asked == ["000.tar"]


class TestOrder:
    def test_every_row_once_per_epoch_in_another_order_each_time(self, open_stream):
        total = sum(ROWS)
        first, second = (read(open_stream(), range(start, start + total)) for start in (0, total))
        names = Counter(f"{shard}-{row}" for shard, count in enumerate(ROWS) for row in range(count))
        assert Counter(first) == Counter(second) == names
        assert first != second
        assert first != sorted(first)

    def test_it_depends_on_the_seed_and_the_source(self, open_stream):
        orders = [read(open_stream(seed=seed, number=number), range(13)) for seed, number in ((0, 0), (1, 0), (0, 1))]
        assert len({tuple(order) for order in orders}) == 3

    def test_it_starts_anywhere_and_then_fetches_one_shard_and_none_before(self, open_stream, server, tmp_path):
        whole = read(open_stream(), range(40))
        for file in (tmp_path / "spool").glob("*.tar"):
            file.unlink()
        for start in (12, 25, 5):
            server.asked.clear()
            assert read(open_stream(), [start]) == [whole[start]]
            assert len(server.asked) <= 1

    def test_without_the_numbers_of_rows_it_counts_again(self, open_stream):
        assert read(open_stream(folder="other"), [30]) == read(open_stream(), range(31))[30:]

    @pytest.mark.parametrize("damage", ["", "seven"])
    def test_a_damaged_note_is_written_anew(self, open_stream, tmp_path, damage):
        whole = read(open_stream(), range(20))
        for note in (tmp_path / "spool").glob("*.rows"):
            note.write_text(damage)
        assert read(open_stream(), range(20)) == whole
        assert {int(note.read_text()) for note in (tmp_path / "spool").glob("*.rows")} == set(ROWS)

    def test_counting_again_keeps_no_shard_that_it_is_done_with(self, open_stream, tmp_path):
        stream = open_stream(reach=0)
        stream.where(sum(ROWS) - 1)
        assert len(list((tmp_path / "spool").glob("*.tar"))) < len(ROWS)

    def test_a_shard_that_another_process_drops_is_fetched_again(self, open_stream, monkeypatch):
        dropped = []

        def drop_then_load(source, **settings):
            if not dropped:
                dropped.append(Path(source.path).unlink())
            return load_source(source, **settings)

        whole = read(open_stream(), range(4))
        monkeypatch.setattr(streaming, "load_source", drop_then_load)
        assert read(open_stream(folder="other"), range(4)) == whole
        assert dropped

    def test_a_shard_that_cannot_be_read_is_said_and_kept(self, open_stream, tmp_path):
        for shard in range(len(ROWS)):
            (tmp_path / "remote" / f"{shard:03}.tar").write_bytes(b"no tar at all")
        with pytest.raises(DataError):
            open_stream()[0]
        assert list((tmp_path / "spool").glob("*.tar"))

    def test_numbers_are_of_their_own_shard(self, open_stream, tmp_path):
        for shard in range(2):
            rows = [{"text": f"{shard}{row}", "image": "a.png", "source_id": str(row)} for row in range(3)]
            (tmp_path / "remote" / f"rows{shard}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "a.png").write_bytes(image("red"))
        stream = open_stream(pattern="rows{0..1}.jsonl")
        assert len({stream[position].source_id for position in range(6)}) == 6

    def test_a_shard_that_has_changed_is_refused(self, open_stream, tmp_path):
        read(open_stream(), range(13))
        for shard in range(len(ROWS)):
            write_shard(tmp_path / "remote" / f"{shard:03}.tar", [f"{shard}-{row}" for row in range(5)])
        for file in (tmp_path / "spool").glob("*.tar"):
            file.unlink()
        with pytest.raises(DataError, match=r"has 5 rows, and had \d when it was fetched first"):
            open_stream()[0]


class TestRoom:
    def test_shards_go_when_nobody_can_be_reading_them(self, open_stream, tmp_path):
        stream = open_stream(pattern="{000..004}.tar", reach=0)
        there = []
        for position in range(sum(ROWS)):
            stream[position]
            there.append(len(list((tmp_path / "spool").glob("*.tar"))))
        assert max(there) < len(ROWS)
        stream.close()
        assert {file.suffix for file in (tmp_path / "spool").iterdir()} == {".rows", ".lock"}, "numbers of rows stay"

    def test_rows_are_counted_once_by_whole_shards(self, open_stream):
        stream = open_stream()
        sizes = [ROWS[int(Path(stream._address(visit)).stem)] for visit in range(len(ROWS))]
        assert [stream.rows(positions) for positions in (1, sizes[0] + 1)] == [sizes[0], sum(sizes[:2])]
        assert [open_stream().rows(positions) for positions in (sum(ROWS), sum(ROWS) + 1, 30)] == [sum(ROWS)] * 3

    def test_shards_within_reach_stay(self, open_stream, server, tmp_path):
        leader, laggard = open_stream(reach=8), open_stream(reach=8)
        for position in range(60):
            leader[position]
            server.asked.clear()
            image_of = laggard[max(0, position - 8)].image
            assert server.asked == [], "a process that lags behind finds its shard"
            assert image_of.read() == image("red")

    def test_images_are_those_of_the_shard(self, open_stream, server, tmp_path):
        stream = open_stream()
        record = stream[0]
        assert record.image.path == tmp_path / "spool" / f"{stream.addresses.index(stream._address(0)):06}.tar"
        assert stream.where(0).endswith(f"({server.address}/{record.texts[0][0]:0>3}.tar)")
        assert stream.where(0).startswith("shard 1 of 5 in epoch 0")
        assert stream.where(sum(ROWS)).startswith("shard 1 of 5 in epoch 1")
