"""Upright boxes in a picture: x and y of the upper left corner, x and y of the lower right one, pixels."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def overlap(first: Float[ndarray, "N 4"], second: Float[ndarray, "M 4"]) -> Float[ndarray, "N M"]:
    """Intersection over union of each box with each."""
    shared = intersection(first, second)
    return shared / np.maximum(area(first)[:, None] + area(second)[None] - shared, 1e-9)


def intersection(first: Float[ndarray, "N 4"], second: Float[ndarray, "M 4"]) -> Float[ndarray, "N M"]:
    """Area that each box has in common with each, square pixels."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high - low).clip(0).prod(axis=-1)


def area(boxes: Float[ndarray, "N 4"]) -> Float[ndarray, "N"]:
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=-1)


def enlarged(boxes: Float[ndarray, "N 4"], by: float) -> Float[ndarray, "N 4"]:
    """Each box with a share `by` of its size more on every side."""
    margin = by * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def without_doubles(boxes: Float[ndarray, "N 4"], scores: Float[ndarray, "N"], limit: float) -> Int[ndarray, "M"]:
    """Which boxes to keep, best first: none overlaps a better one by `limit` (non-maximum suppression)."""
    kept: list[int] = []
    for candidate in np.argsort(-scores, kind="stable").tolist():
        if not kept or overlap(boxes[[candidate]], boxes[kept]).max() < limit:
            kept.append(candidate)
    return np.array(kept, dtype=int)
