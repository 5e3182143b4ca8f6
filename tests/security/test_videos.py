"""A video from a stranger is read, refused in one line, or breaks off: it opens no other file and eats no memory."""

import os
import random
import socket
import struct
from contextlib import suppress

import av
import pytest
from PIL import Image

from tests.security.hostile_images import encoded, gif_header
from tests.videos import write_video
from vljepa.errors import VideoError
from vljepa.processing import video_file as module
from vljepa.processing.video import probe_video, read_frames

CAP = 1_000_000


@pytest.fixture(scope="module")
def secret(tmp_path_factory):
    """A sound video that no list may lead to."""
    return write_video(tmp_path_factory.mktemp("secret") / "secret.ts", count=5)


def frames(path):
    return list(read_frames(path, max_pixels=CAP))


def playlists(link):
    """Files that are nothing but orders to open another one."""
    mpd = f"""<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
      mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"
      bandwidth="1"><BaseURL>{link}</BaseURL></Representation></AdaptationSet></Period></MPD>"""
    return {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\n{link}\n#EXT-X-ENDLIST\n",
        "list.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.5,\n{link}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile '{link}'\n",
        "list.mpd": mpd,
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "frame%03d.jpg": "",
    }


@pytest.mark.parametrize("kind", ["list.m3u8", "list.mp4", "list.ffconcat", "list.mpd", "list.sdp", "frame%03d.jpg"])
@pytest.mark.parametrize("remote", [False, True])
def test_a_list_is_not_followed(tmp_path, secret, kind, remote):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        link = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts" if remote else secret.name
        (tmp_path / secret.name).write_bytes(secret.read_bytes())
        (tmp_path / kind).write_text(playlists(link)[kind])
        with pytest.raises(VideoError, match=r"not a readable video|not read as a video"):
            frames(tmp_path / kind)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("kind", ["list.m3u8", "list.ffconcat"])
def test_without_the_list_of_formats_it_would_be_followed(tmp_path, secret, kind, monkeypatch):
    """The control."""
    (tmp_path / secret.name).write_bytes(secret.read_bytes())
    (tmp_path / kind).write_text(playlists(secret.name)[kind])
    monkeypatch.setattr(module, "_FORMATS", "hls,concat,mpegts")
    assert len(frames(tmp_path / kind)) == 5


@pytest.mark.parametrize("protocols", ["file", "file,http,tcp"])
def test_no_host_is_asked_even_by_a_format_that_would(tmp_path, monkeypatch, protocols):
    """The second lock, and the control: with lists allowed, hosts are not; with both allowed, one is asked."""
    original = av.open
    assert module._PROTOCOLS == "file"
    monkeypatch.setattr(module, "_PROTOCOLS", protocols)
    monkeypatch.setattr(module, "_FORMATS", "concat,mpegts")

    def trusting(file, *, options, **rest):
        return original(file, options=options | {"safe": "0"}, timeout=0.3, **rest)

    monkeypatch.setattr(av, "open", trusting)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        link = f"http://127.0.0.1:{server.getsockname()[1]}/a.ts"
        (tmp_path / "list.ffconcat").write_text(playlists(link)["list.ffconcat"])
        with suppress(VideoError):
            frames(tmp_path / "list.ffconcat")
        if protocols == "file":
            with pytest.raises(BlockingIOError):
                server.accept()
        else:
            server.accept()[0].close()


def test_names_that_ffmpeg_takes_for_orders_are_names(tmp_path, secret, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ts").write_bytes(secret.read_bytes())
    with av.open("concat:a.ts|a.ts") as joined:
        assert joined.streams.video, "FFmpeg alone obeys"
    for name in (
        "concat:a.ts|a.ts",
        "subfile,,start,0,end,0,,:a.ts",
        "file:a.ts",
        "pipe:0",
        "data:video/mp4;base64,AA",
    ):
        with pytest.raises(VideoError, match="there is no video"):
            frames(name)
    (tmp_path / "concat:a.ts|a.ts").write_bytes(secret.read_bytes())
    assert len(frames("concat:a.ts|a.ts")) == 5


def claims(path, out, width, height):
    """Copy of an MP4 whose header says another size than its H.264 data."""
    content = bytearray(path.read_bytes())
    at = content.index(b"avc1", content.index(b"stsd")) + 28
    struct.pack_into(">HH", content, at, width, height)
    out.write_bytes(content)
    return out


def test_a_declared_size_is_refused_before_a_frame_is_decoded(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mkv", codec="ffv1", size=(1001, 1000), count=1)
    decoded = []
    monkeypatch.setattr(module.VideoFile, "_decode", lambda self: decoded.append(1))
    with pytest.raises(VideoError, match="frames of 1001 x 1000 pixels, the cap is 1,000,000"):
        frames(path)
    assert not decoded


def test_a_video_at_the_cap_is_read(tmp_path):
    path = write_video(tmp_path / "v.mkv", codec="ffv1", size=(1000, 1000), count=1)
    assert frames(path)[0].image.size == (1000, 1000)


def test_a_huge_size_costs_nothing(tmp_path):
    small = write_video(tmp_path / "v.mp4")
    before = peak_memory()
    with suppress(VideoError):  # the data's own size may win over the header's
        frames(claims(small, tmp_path / "huge.mp4", 65_535, 65_535))
    (tmp_path / "huge.gif").write_bytes(gif_header(65_535, 65_535))
    with pytest.raises(VideoError, match="not a readable animation"):
        probe_video(tmp_path / "huge.gif")
    assert peak_memory() - before < 100_000_000


def growing(path, sizes):
    """A motion JPEG each of whose frames has its own size, whatever the header says."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
        for number, size in enumerate(sizes):
            packet = av.Packet(encoded(Image.new("RGB", size, "red"), "JPEG"))
            packet.pts = packet.dts = number
            packet.stream, packet.time_base, packet.is_keyframe = stream, stream.time_base, True
            container.mux(packet)
    return path


def test_frames_that_grow_on_the_way_are_refused(tmp_path):
    path = growing(tmp_path / "grow.avi", [(64, 48), (64, 48), (1200, 1000)])
    reading = read_frames(path, max_pixels=CAP)
    assert [next(reading).image.size for _ in range(2)] == [(64, 48), (64, 48)]
    with pytest.raises(VideoError, match="frames of 1200 x 1000 pixels"):
        next(reading)
    assert len(list(read_frames(path, max_pixels=2 * CAP))) == 3, "the control"


def test_a_frame_far_above_the_cap_is_not_even_decoded(tmp_path, monkeypatch):
    path = growing(tmp_path / "grow.avi", [(64, 48), (2000, 1500)])
    decoded = []
    original = module.VideoFile._shot

    def shot(self, frame, clock):
        decoded.append(frame.width)
        return original(self, frame, clock)

    monkeypatch.setattr(module.VideoFile, "_shot", shot)
    with pytest.raises(VideoError, match="damaged packets: 1"):
        list(read_frames(path, max_pixels=CAP))
    assert decoded == [64]
    with pytest.raises(
        VideoError, match="frames of 2000 x 1500 pixels"
    ):  # the control: the decoder's cap is twice ours
        list(read_frames(path, max_pixels=2 * CAP))
    assert decoded == [64, 64, 2000]


def test_a_gif_that_grows_on_the_way_is_refused(tmp_path):
    path = tmp_path / "grow.gif"
    frames = [Image.effect_noise((8, 8), 50 + number) for number in range(2)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    content = bytearray(path.read_bytes())
    at = content.rindex(b"\x2c\0\0\0\0\x08\0\x08\0")
    struct.pack_into("<HH", content, at + 5, 1200, 1000)
    path.write_bytes(content)
    reading = read_frames(path, max_pixels=CAP)
    assert next(reading).image.size == (8, 8)
    with pytest.raises(VideoError, match="frames of 1200 x 1000 pixels"):
        next(reading)
    with Image.open(path) as control:
        control.seek(1)
        assert control.size == (1200, 1000), "the control: Pillow lets it grow"


@pytest.mark.parametrize("kind", ["gif", "webp"])
def test_flipped_bytes_of_an_animation(tmp_path, kind):
    generator = random.Random(kind)
    path = tmp_path / f"flipped.{kind}"
    frames = [Image.effect_noise((16, 16), 50 + number) for number in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    whole = path.read_bytes()
    for _ in range(200):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 10)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        with suppress(VideoError):
            assert len(list(read_frames(path, max_pixels=CAP))) < 1000


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("ts", "mpeg4")]
)
def test_flipped_bytes_it_is_read_or_refused(tmp_path, ending, codec):
    generator = random.Random(ending)
    whole = write_video(tmp_path / f"v.{ending}", codec=codec, count=6, size=(32, 32)).read_bytes()
    path = tmp_path / f"flipped.{ending}"
    for attempt in range(40):
        content = bytearray(whole[: generator.randrange(len(whole))] if attempt % 4 == 0 else whole)
        for _ in range(generator.randint(1, 20)):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        for options in ({}, {"count": 3}, {"fps": 2, "end": 20}):
            with suppress(VideoError):
                assert len(list(read_frames(path, max_pixels=CAP, **options))) < 1000
        with suppress(VideoError):
            probe_video(path)


def test_times_that_leap_do_not_make_endless_frames(tmp_path):
    path = write_video(tmp_path / "leap.mkv", times=[0, 0.1, 10**8])
    seen = []
    with suppress(VideoError):
        for one in read_frames(path, fps=2, max_pixels=CAP):
            seen.append(one.time)
            assert len(seen) < 1000
    assert seen


def peak_memory():
    """Of this process, in bytes, from the start; only grows."""
    with open(f"/proc/{os.getpid()}/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
