"""Motion JPEG with EXIF: FFmpeg hands on side data that PyAV's list does not know, and turns frames by it."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.sidedata import sidedata
from PIL import Image, ImageOps

from vljepa.processing.video import read_frames


def photo(orientation):
    """The dark corner is at the top left as the sensor saw it."""
    image = Image.new("RGB", (64, 48), "white")
    image.paste("black", (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010E] = "a description"
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def motion_jpeg(path, jpeg, count=4):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(count):
            packet = av.Packet(jpeg)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, Fraction(1, 5)
            container.mux(packet)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_frame_is_upright_as_its_jpeg_is(tmp_path, orientation):
    jpeg = photo(orientation)
    film = motion_jpeg(tmp_path / "film.avi", jpeg)
    with av.open(str(film)) as container, pytest.raises(ValueError, match="is not a valid Type"):
        _ = next(container.decode(video=0)).side_data  # the control: PyAV alone gives up

    frames = list(read_frames(film, max_pixels=10_000))

    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(jpeg))).convert("RGB"), dtype=int)
    assert len(frames) == 4
    for frame in frames:
        seen = np.asarray(frame.image, dtype=int)
        assert seen.shape == upright.shape
        assert abs(seen - upright).mean() < 3


def test_where_side_data_cannot_be_listed_at_all_the_rotation_counts(tmp_path, monkeypatch):
    class Nothing:
        def __init__(self, frame):
            raise ValueError("31 is not a valid Type")

        def __len__(self):
            return 0

    film = motion_jpeg(tmp_path / "film.avi", photo(6))
    monkeypatch.setattr(sidedata, "SideDataContainer", Nothing)

    [image, *_] = [frame.image for frame in read_frames(film, max_pixels=10_000)]

    assert image.size == (48, 64)
    assert np.asarray(image)[4, -4].mean() < 40
