"""A few frames of a file's body beside the file's 2D, and how far the one is from the other."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.formats.parts import Detections, Lens
from diffopt.formats.placement import Placed, posed_landmarks, posed_vertices

CONFIDENT = 0.3
MAX_FRAMES, MAX_FRAMES_OF_MESH = 30, 10
"""Evenly spread: conventions do not change within a file. Boxes are checked with the whole mesh."""


@dataclass(frozen=True)
class View:
    """A few frames of the body and of what it must fall on."""

    bodies: Placed
    lens: Lens
    image_size_px: tuple[int, int]
    family: str
    position: Float[ndarray, "N 3"]
    """As the file has it."""
    position_is_transl: bool
    boxes_px: Float[ndarray, "N 4"] | None = None
    detections: Detections | None = None
    rotation_w2c: Float[ndarray, "N 3 3"] | None = None
    """Given where the file has its bodies in the world, with `translation_w2c`."""
    translation_w2c: Float[ndarray, "N 3"] | None = None
    crop_size_px: float | None = None
    """Set to read the projections as pixels of a crop around the person."""


class Misfit(NamedTuple):
    """Distances from the 2D in parts of the person's size."""

    median: float
    """With one edge of the box forgiven, which something may hide: what a file is judged by."""
    whole: float
    """With none forgiven: what two readings of a file are compared by. For a body that is too small, one that is
    shifted would else look better: it has one edge that is right, and the other one's error is forgiven."""


def misfit(view: View, model: BodyModel) -> Misfit:
    """How far the body is from its 2D, as a median over frames; infinite if it is behind the camera."""
    if (view.bodies.pelvis[:, 2] <= 0).mean() > 0.5:
        return Misfit(np.inf, np.inf)
    if view.detections is not None:
        regressor = keypoint_regressor(view.detections.keypoint_set).double().numpy()
        points = _project(regressor @ posed_landmarks(view.bodies, model), view)
        distances = _nearest(points, regressor.sum(axis=1) > 0, view.bodies.frames, view.detections)[0]
        median = float(np.nanmedian(distances)) if np.isfinite(distances).any() else np.inf
        return Misfit(median, median)
    assert view.boxes_px is not None
    points = _project(posed_vertices(view.bodies, model), view)
    edge = np.array(view.image_size_px, np.float64)
    found = np.concatenate([points.min(axis=1).clip(0, edge), points.max(axis=1).clip(0, edge)], axis=1)
    boxes = np.concatenate([view.boxes_px[:, :2].clip(0, edge), view.boxes_px[:, 2:].clip(0, edge)], axis=1)
    size = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1).clip(1, None)
    edges = np.sort(np.abs(found - boxes), axis=1) / size[:, None]
    return Misfit(float(np.median(edges[:, 2])), float(np.median(edges.mean(axis=1))))


def match(
    points: Float[ndarray, "N K 2"], known: Bool[ndarray, "K"], frames: ndarray, detections: Detections
) -> Float[ndarray, "N K 3"]:
    """The detections that belong to the body: in each frame the nearest, unless it is a quarter of its size away.

    Returns:
        x, y, score; NaN and 0 where there is none.
    """
    distances, rows = _nearest(points, known, frames, detections)
    own = distances <= 0.25
    matched = np.concatenate([np.full(points.shape, np.nan), np.zeros((*points.shape[:2], 1))], axis=-1)
    matched[own] = detections.points[rows[own]]
    return matched


def _nearest(
    points: Float[ndarray, "N K 2"], known: Bool[ndarray, "K"], frames: ndarray, detections: Detections
) -> tuple[Float[ndarray, "N"], ndarray]:
    """Distance to the nearest detection of each frame in parts of its size (NaN without one), and its row."""
    distances, rows = np.full(len(points), np.nan), np.zeros(len(points), int)
    by_frame: dict[int, list[int]] = {}
    for row, frame in enumerate(detections.frames.tolist()):
        by_frame.setdefault(frame, []).append(row)
    for index, frame in enumerate(frames.tolist()):
        for row in by_frame.get(frame, []):
            seen = known & (detections.points[row, :, 2] > CONFIDENT)
            if seen.sum() < 4:
                continue
            target = detections.points[row, seen, :2]
            size = np.linalg.norm(target.max(axis=0) - target.min(axis=0)).clip(1e-6, None)
            distance = np.median(np.linalg.norm(points[index, seen] - target, axis=1)) / size
            if not distance >= distances[index]:
                distances[index], rows[index] = distance, row
    return distances, rows


def _project(points: Float[ndarray, "N P 3"], view: View) -> Float[ndarray, "N P 2"]:
    pixels = view.lens.focal_px[:, None, None] * points[..., :2] / points[..., 2:].clip(1e-3, None)
    pixels = pixels + view.lens.center_px[:, None]
    if view.crop_size_px is None:
        return pixels
    boxes = boxes_of(view)
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return center[:, None] + (pixels / view.crop_size_px - 0.5) * side[:, None, None]


def boxes_of(view: View) -> Float[ndarray, "N 4"]:
    """Around the person in each frame: the file's, else the keypoints' with a margin."""
    if view.boxes_px is not None:
        return view.boxes_px
    assert view.detections is not None
    boxes = np.tile([0.0, 0.0, *view.image_size_px], (len(view.bodies.frames), 1))
    for index, frame in enumerate(view.bodies.frames.tolist()):
        rows = np.flatnonzero(view.detections.frames == frame)
        if len(rows):
            points = view.detections.points[rows[0]]
            points = points[points[:, 2] > CONFIDENT, :2]
            if len(points):
                margin = 0.1 * (points.max(axis=0) - points.min(axis=0))
                boxes[index] = [*(points.min(axis=0) - margin), *(points.max(axis=0) + margin)]
    return boxes


def spread_indices(count: int, limit: int) -> ndarray:
    """Rows to look at: all, or `limit` of them evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def landmarks_in_image(bodies: Placed, lens: Lens, keypoint_set: str, model: BodyModel) -> Float[ndarray, "N K 2"]:
    """The body's keypoints of a detector's set, pixels."""
    regressor = keypoint_regressor(keypoint_set).double().numpy()
    points = regressor @ posed_landmarks(bodies, model)
    return lens.focal_px[:, None, None] * points[..., :2] / points[..., 2:].clip(1e-3, None) + lens.center_px[:, None]
