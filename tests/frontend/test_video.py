"""The clock laid over odd videos, and what is said about files that are none."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.frontend.video import content_hash, open_video

SIZE = (64, 48)


def write_video(path: Path, stamps: list[int], codec: str = "libx264", rotation: int = 0) -> Path:
    """Frame k is a picture of brightness 10 k whose upper left quarter is white; stamps are thousandths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation)
        for k, stamp in enumerate(stamps):
            pixels = np.full((SIZE[1], SIZE[0], 3), 10 * k, np.uint8)
            pixels[: SIZE[1] // 2, : SIZE[0] // 2] = 255
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def brightness(video) -> list[int]:
    """Which frame of the file each shown picture is, read off its lower right corner."""
    return [round(float(picture[-8:, -8:].mean()) / 10) for picture in video.frames()]


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_regular_video_is_shown_frame_by_frame(tmp_path, codec):
    video = open_video(write_video(tmp_path / "a.mp4", [round(1000 * k / 23.976) for k in range(20)], codec))

    assert video.source_rate == "constant"
    assert video.fps == pytest.approx(23.976, rel=2e-3)
    assert brightness(video) == list(range(20))


def test_a_gap_in_a_variable_rate_is_filled_with_what_was_on_screen(tmp_path):
    stamps = [0, 40, 80, 120, 280, 320, 360, 400]  # 25 Hz with three frames missing
    video = open_video(write_video(tmp_path / "a.mp4", stamps))

    ticks = np.arange(video.num_frames) / video.fps * 1000
    expected = [int(np.abs(np.array(stamps) - tick).argmin()) for tick in ticks]
    assert video.source_rate == "variable"
    assert video.fps == pytest.approx(7 / 0.4, rel=1e-3)
    assert brightness(video) == expected
    assert video.num_frames == 8


def test_a_fast_video_is_thinned_out(tmp_path):
    video = open_video(write_video(tmp_path / "a.mp4", [8 * k for k in range(24)]), max_fps=62.5)

    assert video.fps == 62.5
    assert brightness(video) == list(range(0, 24, 2))


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-1, 0)), (-90, (0, -1)), (180, (-1, -1))])
def test_the_rotation_flag_turns_the_picture(tmp_path, rotation, corner):
    """A flag of 90 means a quarter turn counter-clockwise: the white corner goes from upper left to lower left."""
    video = open_video(write_video(tmp_path / "a.mp4", [0, 33, 66], rotation=rotation))

    picture = next(video.frames())
    assert (video.width, video.height) == (SIZE if rotation == 180 else SIZE[::-1])
    assert picture.shape == (video.height, video.width, 3)
    assert picture[corner].mean() > 240
    assert picture[0, 0].mean() < 20


def test_a_span_is_cut_out(tmp_path):
    video = open_video(write_video(tmp_path / "a.mp4", [40 * k for k in range(20)]), start_frame=5, stop_frame=9)

    assert brightness(video) == [5, 6, 7, 8]


def test_what_is_no_video_is_told(tmp_path):
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"this is not a video" * 100)
    for path, found in [
        (tmp_path / "missing.mp4", "no such file"),
        (noise, "not a video"),
        (write_video(tmp_path / "one.mp4", [0]), "has 1 frame"),
    ]:
        with pytest.raises(DiffoptError, match=found) as caught:
            open_video(path)
        assert str(path) in str(caught.value)
    with pytest.raises(DiffoptError, match="frames 18 to 19"):
        open_video(write_video(tmp_path / "b.mp4", [40 * k for k in range(19)]), start_frame=18)


def test_a_video_that_breaks_off_is_told(tmp_path):
    whole = write_video(tmp_path / "a.mkv", [40 * k for k in range(25)], codec="mpeg4")
    video = open_video(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])

    with pytest.raises(DiffoptError, match=r"breaks off at frame \d+ of 25.*stop_frame"):
        list(video.frames())


def test_the_content_names_a_video(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a" * 3_000_000)
    two.write_bytes(b"a" * 2_999_999 + b"b")

    assert content_hash(one) == content_hash(one) != content_hash(two)
