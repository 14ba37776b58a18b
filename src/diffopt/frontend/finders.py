"""Everybody in one picture, by two networks whose faults differ: MoveNet MultiPose loses crowds, NanoDet leaps.

Both answer in boxes about the whole body with scores. MoveNet MultiPose Lightning: Google, Apache-2.0. NanoDet-g:
RangiLyu, Apache-2.0, trained on COCO. `scripts/convert_networks.py` makes their files.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from diffopt.frontend.boxes import without_doubles
from diffopt.frontend.network import ASSETS, Network

FINDERS = ("movenet_multipose_256x256", "nanodet_416")
"""The networks' files by name: part of the key of everything that is kept of what they found."""
_DOUBLE = 0.5
_TILE, _TILE_OVERLAP = 0.67, 0.3
_SMALL = 0.25
_NANODET_MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
_NANODET_STD = np.array([57.375, 57.12, 58.395], dtype=np.float32)


@dataclass(frozen=True)
class Found:
    """People in one picture."""

    boxes_px: Float[ndarray, "N 4"]
    scores: Float[ndarray, "N"]

    def above(self, score: float) -> "Found":
        return Found(self.boxes_px[self.scores >= score], self.scores[self.scores >= score])


@runtime_checkable
class Finder(Protocol):
    """Finds people in a picture."""

    start_score: float
    """From here on somebody is taken for a person."""
    keep_score: float
    """From here on somebody may be the one who was there before."""

    def __call__(self, picture: UInt8[ndarray, "H W 3"]) -> Found: ...


class MultiPose:
    """MoveNet MultiPose: at most six people of a picture, shrunk to 256 pixels."""

    start_score, keep_score = 0.2, 0.08

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(ASSETS / f"{FINDERS[0]}.tflite", threads)

    def __call__(self, picture: UInt8[ndarray, "H W 3"]) -> Found:
        padded, shrink, corner = _padded(picture, 256)
        # 17 keypoints of three numbers each, then the box as y, x, y, x in shares of the padded picture, and a score.
        rows = self._network(padded)[(1, 6, 56)].astype(np.float64)
        boxes = rows[:, [52, 51, 54, 53]] * 256
        return Found((boxes - np.tile(corner, 2)) / shrink, rows[:, 55]).above(self.keep_score)


class NanoDet:
    """NanoDet-g: COCO's classes, of which people are taken; small ones by looking closer at parts of the picture."""

    start_score, keep_score = 0.4, 0.15

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(ASSETS / f"{FINDERS[1]}.tflite", threads)

    def __call__(self, picture: UInt8[ndarray, "H W 3"]) -> Found:
        height, width = picture.shape[:2]
        found = self._look(picture)
        sure = found.above(self.start_score).boxes_px
        if (sure[:, 3] - sure[:, 1]).max(initial=0) > _SMALL * height:
            return found
        parts = [found]
        for x, y, side_x, side_y in tiles(width, height):
            part = self._look(np.ascontiguousarray(picture[y : y + side_y, x : x + side_x]))
            parts.append(Found(part.boxes_px + np.array([x, y, x, y]), part.scores))
        boxes = np.concatenate([part.boxes_px for part in parts])
        scores = np.concatenate([part.scores for part in parts])
        kept = without_doubles(boxes, scores, _DOUBLE)
        return Found(boxes[kept], scores[kept])

    def _look(self, picture: UInt8[ndarray, "H W 3"]) -> Found:
        padded, shrink, corner = _padded(picture, 416)
        normal = (padded[..., ::-1] - _NANODET_MEAN) / _NANODET_STD  # it was trained on BGR
        outputs = self._network(np.moveaxis(normal, -1, 0))
        boxes, scores = [], []
        for stride in (8, 16, 32):
            cells = 416 // stride
            score = outputs[(1, cells**2, 80)][:, 0].astype(np.float64)
            good = np.flatnonzero(score >= self.keep_score)
            # How far each side is away: a distribution over 0 to 10 strides, of which the mean is meant.
            logits = outputs[(1, cells**2, 44)][good].reshape(-1, 4, 11).astype(np.float64)
            odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
            reach = odds @ np.arange(11) / odds.sum(axis=-1) * stride
            center = np.stack([good % cells, good // cells], axis=-1) * stride + 0.5 * (stride - 1)
            boxes.append(np.concatenate([center - reach[:, :2], center + reach[:, 2:]], axis=1))
            scores.append(score[good])
        found, certain = np.concatenate(boxes), np.concatenate(scores)
        kept = without_doubles(found, certain, _DOUBLE)
        return Found((found[kept] - np.tile(corner, 2)) / shrink, certain[kept])


def tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Overlapping squares, smaller than the picture, that cover it: x and y of the corner, width, height."""
    side = round(_TILE * min(width, height))

    def starts(length: int) -> list[int]:
        count = int(np.ceil((length - side) / (side * (1 - _TILE_OVERLAP)))) + 1
        return np.linspace(0, length - side, count).round().astype(int).tolist()

    return [(x, y, side, side) for y in starts(height) for x in starts(width)]


def _padded(picture: UInt8[ndarray, "H W 3"], side: int) -> tuple[UInt8[ndarray, "S S 3"], float, Float[ndarray, "2"]]:
    """The picture shrunk or grown into the middle of a black square; the factor, and where its corner comes to lie."""
    height, width = picture.shape[:2]
    shrink = side / max(height, width)
    way = cv2.INTER_AREA if shrink < 1 else cv2.INTER_LINEAR
    small = cv2.resize(picture, (max(round(width * shrink), 1), max(round(height * shrink), 1)), interpolation=way)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square, shrink, np.array([left, top], dtype=np.float64)
