"""From the boxes of every look to tracks of people.

Two-stage matching as in ByteTrack (Zhang et al., 2022): certain boxes first, then doubtful ones, which may go on with a
track but never begin one. Boxes are enlarged, so that the fast and the small still overlap, and clothes are compared,
so that two people who cross keep their names. Afterwards pieces of one person are joined over gaps, as both sides of
each are known.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.optimize import linear_sum_assignment

from diffopt.frontend.boxes import enlarged, overlap
from diffopt.frontend.picture_motion import PictureMotion

_ENLARGED = 0.1
_MIN_OVERLAP = (0.15, 0.3)
"""Of the enlarged boxes, for certain and for doubtful ones."""
_MAX_COST = 1.25
_MAX_GROWTH = 2.0
"""Of the height: who stands in front of somebody is not suddenly that one."""
_MAX_GROWTH_AT_EXIT = 1.6
"""The same of somebody who is going out of the picture, so that who is seen behind does not take over."""
_LOST_S = 0.5
_FADE = 8.0
"""Frames after which a velocity no longer counts."""
_BORDER, _RECENT = 0.02, 4
_BINS = 6
_UNKNOWN_CLOTHES = 0.7


@dataclass(frozen=True)
class Sight:
    """Somebody in one picture."""

    box_px: Float[ndarray, "4"]
    score: float
    clothes: Float[ndarray, "B"] | None = None


@dataclass(eq=False)
class Track:
    """Somebody through many pictures, by frame."""

    sights: dict[int, Sight] = field(default_factory=dict)
    clothes: Float[ndarray, "B"] | None = None
    velocity: Float[ndarray, "4"] = field(default_factory=lambda: np.zeros(4))
    """Of the box against the scene, pixels a frame."""

    @property
    def first(self) -> int:
        return min(self.sights)

    @property
    def last(self) -> int:
        return max(self.sights)

    def expected(self, frame: int, motion: PictureMotion) -> Float[ndarray, "4"]:
        """Where the box should be: carried by the camera, with a velocity of its own that fades."""
        last = self.last
        drift = self.velocity * _FADE * (1 - np.exp(-(frame - last) / _FADE))
        return motion.carry(self.sights[last].box_px, last, frame) + drift

    def add(self, frame: int, sight: Sight, motion: PictureMotion) -> None:
        if self.sights:
            last = self.last
            step = (sight.box_px - motion.carry(self.sights[last].box_px, last, frame)) / (frame - last)
            self.velocity = step if len(self.sights) == 1 else 0.6 * self.velocity + 0.4 * step
        self.sights[frame] = sight
        if sight.clothes is not None:
            self.clothes = sight.clothes if self.clothes is None else 0.9 * self.clothes + 0.1 * sight.clothes

    def leaves(self, width: int, height: int) -> bool:
        """Whether it was last seen at the border, going out: whoever is seen there next is somebody else."""
        recent = [self.sights[frame].box_px for frame in sorted(self.sights)[-_RECENT:]]
        x0, y0, x1, y1 = recent[-1]
        # In the picture, not against the scene: a camera that turns away makes leave who stands still.
        across, along = (recent[-1] - recent[0]).reshape(2, 2).mean(axis=0)
        margin = _BORDER * width, _BORDER * height
        sideways = (x0 < margin[0] and across < 0) or (x1 > width - margin[0] and across > 0)
        # Feet below the picture are the rule in close shots: only who sinks with the head goes out there.
        return bool(sideways or (y1 < height / 2 and y0 < margin[1] and along < 0) or y0 > height - margin[1])


def clothes(picture: UInt8[ndarray, "H W 3"], box_px: Float[ndarray, "4"]) -> Float[ndarray, "B"]:
    """Colours of the middle of a box, its upper part and its lower part apart; they sum to 1."""
    x0, y0, x1, y1 = box_px
    width, height = x1 - x0, y1 - y0
    inner = np.array([x0 + 0.2 * width, y0 + 0.1 * height, x1 - 0.2 * width, y0 + 0.7 * height])
    left, top, right, bottom = inner.clip(0, np.tile(np.array(picture.shape[1::-1]) - 1, 2)).astype(int)
    patch = cv2.resize(picture[top : bottom + 1, left : right + 1], (24, 48), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(patch, cv2.COLOR_RGB2LAB)
    # Few clothes are more colourful than the middle of Lab's range.
    lab[..., 1:] = lab[..., 1:].clip(90, 165)
    parts = [np.ascontiguousarray(lab[:28]), np.ascontiguousarray(lab[28:])]
    ranges = [0, 256, 90, 166, 90, 166]
    counts = [cv2.calcHist([part], [0, 1, 2], None, [_BINS] * 3, ranges).ravel() / part[..., 0].size for part in parts]
    return np.concatenate(counts) / 2


def likeness(first: Float[ndarray, "B"] | None, second: Float[ndarray, "B"] | None) -> float:
    """1 for the same colours, 0 for none in common (Bhattacharyya's coefficient)."""
    return _UNKNOWN_CLOTHES if first is None or second is None else float(np.sqrt(first * second).sum())


def follow(
    looks: Mapping[int, list[Sight]],
    start_score: float,
    motion: PictureMotion,
    size: tuple[int, int],
    fps: float,
) -> list[Track]:
    """Follow everybody through the looks of one finder.

    Args:
        looks: who is seen, by frame.
        start_score: from here on a box may begin a track.
        motion: of the picture.
        size: width and height of the picture, pixels.
        fps: frames per second.
    """
    live: list[Track] = []
    done: list[Track] = []
    for frame in sorted(looks):
        gone = [t for t in live if frame - t.last > _LOST_S * fps]
        done, live = done + gone, [t for t in live if t not in gone]
        free = live
        for sure, least in zip((True, False), _MIN_OVERLAP, strict=True):
            sights = [sight for sight in looks[frame] if (sight.score >= start_score) == sure]
            pairs = _pairs(free, sights, frame, motion, least, size)
            for track, sight in pairs:
                track.add(frame, sight, motion)
            free = [track for track in free if track.last != frame]
            if sure:
                taken = {id(sight) for _, sight in pairs}
                fresh = [sight for sight in sights if id(sight) not in taken]
        left = [track for track in free if track.leaves(*size)]
        done, live = done + left, [track for track in live if track not in left]
        for sight in fresh:
            track = Track()
            track.add(frame, sight, motion)
            live = [*live, track]
    return done + live


def _pairs(
    tracks: list[Track],
    sights: list[Sight],
    frame: int,
    motion: PictureMotion,
    least: float,
    size: tuple[int, int],
) -> list[tuple[Track, Sight]]:
    """Who is who: the assignment of the least cost (the Hungarian method)."""
    if not tracks or not sights:
        return []
    expected = np.array([track.expected(frame, motion) for track in tracks])
    boxes = np.array([sight.box_px for sight in sights])
    near = overlap(enlarged(expected, _ENLARGED), enlarged(boxes, _ENLARGED))
    tall, taller = (np.maximum(both[:, 3] - both[:, 1], 1.0) for both in (expected, boxes))
    limits = np.array([_MAX_GROWTH_AT_EXIT if track.leaves(*size) else _MAX_GROWTH for track in tracks])
    grown = np.abs(np.log(taller[None] / tall[:, None])) > np.log(limits)[:, None]
    alike = np.array([[likeness(track.clothes, sight.clothes) for sight in sights] for track in tracks])
    cost = np.where((near < least) | grown, 9.0, 2 - near - alike)
    rows, columns = linear_sum_assignment(cost)
    return [(tracks[r], sights[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < _MAX_COST]


def join(tracks: list[Track], max_gap: float, motion: PictureMotion, size: tuple[int, int]) -> list[Track]:
    """Join the end of one piece to the beginning of a later one: near, as large, dressed alike; best pair first.

    Args:
        tracks: pieces; those of a single look are left out.
        max_gap: in frames.
        motion: of the picture.
        size: width and height of the picture, pixels.
    """
    tracks = [track for track in tracks if len(track.sights) > 1]
    while True:
        prices = [
            (_price(a, b, motion), i, k)
            for i, a in enumerate(tracks)
            for k, b in enumerate(tracks)
            if 0 < b.first - a.last <= max_gap and not a.leaves(*size)
        ]
        price, i, k = min(prices, default=(np.inf, 0, 0))
        if price >= 1:
            return tracks
        a, b = tracks[i], tracks[k]
        whole = Track(a.sights | b.sights, b.clothes, b.velocity)
        tracks = [whole, *(track for track in tracks if track is not a and track is not b)]


def _price(before: Track, after: Track, motion: PictureMotion) -> float:
    """How unlikely it is that two pieces are one person; 1 is the limit."""
    gap, box = after.first - before.last, after.sights[after.first].box_px
    expected = before.expected(after.first, motion)
    height = max(expected[3] - expected[1], 1.0)
    off = np.abs(expected - box).mean() / height
    grown = abs(np.log(max(box[3] - box[1], 1.0) / height))
    if grown > np.log(_MAX_GROWTH):
        return np.inf
    return off / (0.35 + 0.02 * gap) + 0.5 * grown + 1.5 * (1 - likeness(before.clothes, after.clothes)) - 0.2
