"""Frames of any video at a constant rate, upright, one at a time.

Phones write a rotation flag instead of turning the pixels, drop frames in the dark, and round their time stamps. Here
the stamps of all frames are read first, without decoding; a constant clock is laid over them, and every tick shows the
frame that was on screen nearest to it.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float, Int, UInt8

from diffopt.errors import DiffoptError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv", ".gif")
_UNREADABLE = "expected a video that FFmpeg can decode (e.g. MP4 with H.264 or H.265); convert it or check the path."


@dataclass(frozen=True)
class Video:
    """One span of a video on a constant clock."""

    path: Path
    fps: float
    width: int
    """Of the upright picture, pixels."""
    height: int
    source_index: Int[np.ndarray, "T"]
    """For each tick, which frame of the file (in order of display) is shown; never falls."""
    source_rate: str
    """How regular the file's own clock is: `constant` or `variable`."""

    @property
    def num_frames(self) -> int:
        return len(self.source_index)

    def part(self, start: int, stop: int) -> "Video":
        """Some of its frames."""
        return replace(self, source_index=self.source_index[start:stop])

    def frames(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The pictures in order, RGB, upright; only one is in memory at a time.

        Raises:
            DiffoptError: the file ends or breaks before its last frame.
        """
        wanted = iter(self.source_index.tolist())
        tick, shown = next(wanted, None), 0
        for index, picture in enumerate(_decode(self.path)):
            if tick is None:
                return
            if tick != index:
                continue
            pixels = _upright(picture)
            while tick == index:
                yield pixels
                shown += 1
                tick = next(wanted, None)
        if tick is not None:
            raise DiffoptError(
                f"{self.path}: the video breaks off at frame {shown} of {self.num_frames}; expected an undamaged file; "
                f"copy it again, or use what is there with frontend.stop_frame={shown}."
            )


def open_video(path: Path, start_frame: int = 0, stop_frame: int | None = None, max_fps: float = 60.0) -> Video:
    """Read the clock of a video and choose the frames of a span.

    Args:
        path: any file that FFmpeg decodes.
        start_frame: first frame of the span, counted on the constant clock.
        stop_frame: the frame after the last one; None means to the end.
        max_fps: a faster video is thinned out to this rate, Hz.

    Raises:
        DiffoptError: no such file, not a video, or fewer than two frames in the span.
    """
    path = Path(path)
    if not path.is_file():
        raise DiffoptError(f"{path}: no such file; expected a video; check the path.")
    times = _display_times(path)
    picture = next(_decode(path), None)
    if picture is None:
        raise DiffoptError(f"{path}: no picture can be decoded; {_UNREADABLE}")
    if len(times) < 2:
        raise DiffoptError(
            f"{path}: the video has {len(times)} frame; expected at least 2, since motion is what changes between "
            "frames; give a longer video."
        )
    height, width = _upright(picture).shape[:2]
    intervals = np.diff(times)
    fps = min(round((len(times) - 1) / (times[-1] - times[0]), 6), max_fps)
    ticks = times[0] + np.arange(int((times[-1] - times[0]) * fps + 1e-6) + 1) / fps
    nearest = np.searchsorted((times[:-1] + times[1:]) / 2, ticks)
    stop = len(nearest) if stop_frame is None else min(stop_frame, len(nearest))
    if start_frame < 0 or stop - start_frame < 2:
        raise DiffoptError(
            f"{path}: frames {start_frame} to {stop} hold {max(stop - start_frame, 0)} frames; expected at least 2 of "
            f"the video's {len(nearest)}; choose frontend.start_frame and stop_frame inside 0 to {len(nearest)}."
        )
    regular = np.abs(intervals - np.median(intervals)).max() < 0.25 * np.median(intervals)
    return Video(
        path,
        float(fps),
        width,
        height,
        nearest[start_frame:stop].astype(np.int64),
        "constant" if regular else "variable",
    )


def content_hash(path: Path) -> str:
    """A name for the file's bytes, so that a cache notices when a video was replaced."""
    digest = hashlib.blake2b(digest_size=12)
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _display_times(path: Path) -> Float[np.ndarray, "N"]:
    """When each frame of the file is shown, seconds, sorted; packets are read but not decoded."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DiffoptError(f"{path}: no video stream; {_UNREADABLE}")
            stream = container.streams.video[0]
            rate = float(stream.average_rate or stream.guessed_rate or 30)
            # An edit list makes the decoder drop the frames before the first one that is meant to be seen.
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            stamps = [packet.pts for packet in packets if packet.pts is not None]
            unit = float(stream.time_base or 1)
    except FFmpegError as error:
        raise DiffoptError(f"{path}: not a video ({error.strerror}); {_UNREADABLE}") from error
    times = np.unique(np.asarray(stamps, dtype=np.float64) * unit)
    # Raw streams carry no stamps at all: their frames are taken to be evenly spaced.
    return times if len(times) == len(packets) else np.arange(len(packets)) / rate


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            yield from container.decode(stream)
    except FFmpegError:
        return  # the caller knows how many frames were due, and says where the file breaks off


def _upright(picture: av.VideoFrame) -> UInt8[np.ndarray, "H W 3"]:
    pixels = picture.to_ndarray(format="rgb24")
    # FFmpeg's rotation is counter-clockwise, as is numpy's.
    return np.ascontiguousarray(np.rot90(pixels, round(picture.rotation / 90) % 4))


def is_video(source: str) -> bool:
    """Whether a file's name ends as a video's does."""
    return Path(source).suffix.lower() in VIDEO_SUFFIXES
