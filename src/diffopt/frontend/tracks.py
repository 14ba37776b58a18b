"""Points of the scene followed from frame to frame, people left out: all that is known of the camera.

Corners (Shi and Tomasi, 1994) are followed by pyramidal Lucas-Kanade and kept only while following them back ends where
it began. In a video this is faster and finer than matching features, and the same tracks tell whether the camera moved,
whether it merely turned, and carry the structure from motion.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from numpy import ndarray
from rich.progress import Progress

from diffopt.frontend.keypoints import PersonTrack
from diffopt.frontend.video import Video

WORKING_SIDE_PX = 960
"""Pictures are shrunk to this longer side; finer detail is mostly compression noise."""
_WINDOW_PX, _LEVELS = 21, 4
_BACK_PX = 0.5
_SPACING_PX = 9
_KEYFRAME_FLOW_PX = 12.0
"""A new keyframe when the tracks have moved this many working pixels (median) since the last."""
_MAX_KEYFRAME_GAP = 15
_PERSON_MARGIN_PX = 12
"""The mask's edge is rough, and a shadow or a swinging bag moves with the person."""


@dataclass(frozen=True)
class Tracks:
    """Observations of scene points, in the order of frames."""

    frame: Int[ndarray, "N"]
    point: Int[ndarray, "N"]
    """Which scene point: the same number wherever it is followed."""
    xy_px: Float[ndarray, "N 2"]
    """In the video's own pixels."""
    pixel: float
    """Video pixels per working pixel: the unit of the tracking error."""

    def in_frames(self, chosen: Int[ndarray, "M"]) -> "Tracks":
        """Only the observations in some frames."""
        keep = np.isin(self.frame, chosen)
        return Tracks(self.frame[keep], self.point[keep], self.xy_px[keep], self.pixel)

    def longest(self, count: int, min_length: int) -> "Tracks":
        """Only the points that are followed longest."""
        lengths = np.bincount(self.point) if len(self.point) else np.zeros(0, dtype=int)
        ranked = np.argsort(-lengths, kind="stable")[:count]
        keep = np.isin(self.point, ranked[lengths[ranked] >= min_length])
        return Tracks(self.frame[keep], self.point[keep], self.xy_px[keep], self.pixel)

    def covering(self, per_frame: int) -> "Tracks":
        """Of every frame its `per_frame` points that are followed longest, wherever else they are seen."""
        lengths = np.bincount(self.point)
        chosen = np.zeros(len(lengths), dtype=bool)
        for here in np.split(self.point, np.flatnonzero(np.diff(self.frame)) + 1):
            chosen[here[np.argsort(-lengths[here], kind="stable")[:per_frame]]] = True
        keep = chosen[self.point] & (lengths[self.point] > 1)
        return Tracks(self.frame[keep], self.point[keep], self.xy_px[keep], self.pixel)


def track_scene(
    video: Video,
    people: Sequence[PersonTrack],
    others_px: Float[ndarray, "P T 4"],
    points: int,
    progress: Progress,
) -> Tracks:
    """Follow about `points` corners at a time through the video, outside of everybody in it.

    Args:
        video: the frames.
        people: those who were read: their masks are known.
        others_px: boxes of those who were not; NaN where out of sight.
        points: corners at a time.
        progress: shows the frames done.
    """
    shrink = min(1.0, WORKING_SIDE_PX / max(video.width, video.height))
    size = (max(round(video.width * shrink), 1), max(round(video.height * shrink), 1))
    before: UInt8[ndarray, "h w"] | None = None
    at, ids = np.zeros((0, 2), dtype=np.float32), np.zeros(0, dtype=np.int64)
    next_id = 0
    frames, points_seen, places = [], [], []
    for frame, picture in enumerate(progress.track(video.frames(), total=video.num_frames, description="scene")):
        gray = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
        free = _free_area([person.mask(frame) for person in people], others_px[:, frame] * shrink, size)
        if before is not None and len(at):
            at, kept = _follow(before, gray, at)
            inside = free[at[kept][:, 1].astype(int), at[kept][:, 0].astype(int)] > 0
            at, ids = at[kept][inside], ids[kept][inside]
        if len(at) < 0.8 * points:
            fresh = _corners(gray, free, at, points - len(at))
            at, ids = np.concatenate([at, fresh]), np.concatenate([ids, next_id + np.arange(len(fresh))])
            next_id += len(fresh)
        frames.append(np.full(len(at), frame))
        points_seen.append(ids)
        # Pixel centres are whole numbers in both pictures.
        places.append((at.astype(np.float64) + 0.5) / shrink - 0.5)
        before = gray
    return Tracks(np.concatenate(frames), np.concatenate(points_seen), np.concatenate(places), 1 / shrink)


def choose_keyframes(tracks: Tracks, frames: int) -> Int[ndarray, "M"]:
    """Frames between which the picture moves by about the same amount; the first and the last are among them."""
    bounds = np.searchsorted(tracks.frame, np.arange(frames + 1))
    chosen = [0]
    for frame in range(1, frames):
        before, now = (slice(bounds[i], bounds[i + 1]) for i in (chosen[-1], frame))
        _, a, b = np.intersect1d(tracks.point[before], tracks.point[now], return_indices=True)
        flow = np.linalg.norm(tracks.xy_px[before][a] - tracks.xy_px[now][b], axis=1) / tracks.pixel
        too_few = len(a) < 0.5 * (bounds[chosen[-1] + 1] - bounds[chosen[-1]])
        if too_few or np.median(flow) > _KEYFRAME_FLOW_PX or frame - chosen[-1] >= _MAX_KEYFRAME_GAP:
            chosen.append(frame)
    if chosen[-1] != frames - 1:
        chosen.append(frames - 1)
    return np.asarray(chosen)


def _free_area(
    masks: Sequence[Bool[ndarray, "m n"]], boxes: Float[ndarray, "P 4"], size: tuple[int, int]
) -> UInt8[ndarray, "h w"]:
    """255 where no person is."""
    taken = np.zeros(size[::-1], np.uint8)
    for mask in masks:
        taken[cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0] = 1
    for x0, y0, x1, y1 in boxes[~np.isnan(boxes).any(axis=1)].clip(0).round().astype(int):
        taken[y0:y1, x0:x1] = 1
    return (1 - cv2.dilate(taken, np.ones((2 * _PERSON_MARGIN_PX + 1,) * 2, np.uint8))).astype(np.uint8) * 255


def _follow(
    before: UInt8[ndarray, "h w"], now: UInt8[ndarray, "h w"], at: Float[ndarray, "M 2"]
) -> tuple[Float[ndarray, "M 2"], ndarray]:
    """New places, and which of them are to be believed."""
    window = (_WINDOW_PX, _WINDOW_PX)
    there, found, _ = cv2.calcOpticalFlowPyrLK(before, now, at, at.copy(), winSize=window, maxLevel=_LEVELS)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, there.copy(), winSize=window, maxLevel=_LEVELS)
    height, width = now.shape
    inside = ((there >= 0) & (there <= [width - 1, height - 1])).all(axis=1)
    returned = np.linalg.norm(back - at, axis=1) < _BACK_PX
    return there, (found[:, 0] > 0) & (found_back[:, 0] > 0) & inside & returned


def _corners(
    gray: UInt8[ndarray, "h w"], free: UInt8[ndarray, "h w"], taken: Float[ndarray, "M 2"], count: int
) -> Float[ndarray, "N 2"]:
    """New corners, away from the person and from those already followed."""
    open_area = free.copy()
    for x, y in taken.astype(int):
        cv2.circle(open_area, (int(x), int(y)), _SPACING_PX, 0, -1)
    found = cv2.goodFeaturesToTrack(gray, count, 0.003, _SPACING_PX, mask=open_area)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
