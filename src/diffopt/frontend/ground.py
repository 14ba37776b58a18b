"""The ground in the scene that structure from motion found: which way is up, and how large the scene is.

Structure from motion knows everything but its unit. The person stands on the ground of the same scene: where the ray
through a standing foot meets the ground, the scene says how far that is in its own unit, and the size of the body says
how far it is in metres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

_TRIALS = 2000
_MAX_TILT = np.cos(np.radians(15))
"""Ground leans at most this far from the way in which people stand."""
_THICKNESS = 0.012
"""A point lies on the ground if it is this near, as a share of the camera's height over it."""
_MIN_POINTS = 40
"""Fewer points of the scene make no ground."""
_MAX_SPREAD = 0.06
"""Single frames may disagree about the scale by this much (median absolute deviation of its logarithm)."""
_MIN_FRAMES = 15


@dataclass(frozen=True)
class Ground:
    """A level ground in the world of the camera, and what it tells."""

    down_w: Float[ndarray, "3"]
    """Unit vector, in the given camera's world."""
    scale: float
    """Metres per unit of the given camera's translation."""
    spread: float
    """How much single frames disagree about it: median absolute deviation of its logarithm."""
    points: int
    """Points of the scene that lie on it."""


def find_ground(
    points_w: Float[ndarray, "P 3"],
    rotation_w2c: Float[ndarray, "T 3 3"],
    translation_w2c: Float[ndarray, "T 3"],
    soles_c: Float[ndarray, "T F 3"],
    up_w: Float[ndarray, "3"],
    frame_valid: Bool[ndarray, "T"],
) -> Ground | None:
    """The level plane under the camera that most of the scene's points lie on, if the person's feet agree with it.

    Args:
        points_w: points of the scene, in the unit of the camera's translation.
        rotation_w2c, translation_w2c: the camera in its own world and unit.
        soles_c: points on the person's soles in the camera frame of each frame, metres.
        up_w: about up: the way in which the person stands.
        frame_valid: frames in which the person was seen.

    Returns:
        The ground, or None if the scene shows none or the feet do not agree about its distance.
    """
    if len(points_w) < _MIN_POINTS or frame_valid.sum() < _MIN_FRAMES:
        return None
    centers = -np.einsum("tji,tj->ti", rotation_w2c, translation_w2c)
    plane = _level_plane(points_w, centers, up_w)
    if plane is None:
        return None
    normal, offset, on_ground = plane
    height = centers @ normal + offset
    soles_w = np.einsum("tji,tfj->tfi", rotation_w2c, soles_c)
    # A ray from the camera falls by this much per metre; how far the ground is follows from the camera's height.
    fall = -(soles_w @ normal) / np.maximum(height, 1e-9)[:, None]
    # Metres of the body over units of the scene. A raised foot's ray goes on behind it and makes the scene look
    # smaller, so the foot that stands is the one that makes it look largest.
    scale = fall.max(axis=1)[frame_valid & (height > 0)]
    scale = scale[scale > 0]
    if len(scale) < _MIN_FRAMES:
        return None
    found = float(np.median(scale))
    spread = float(np.median(np.abs(np.log(scale / found))))
    if spread > _MAX_SPREAD:
        return None
    return Ground(down_w=-normal, scale=found, spread=spread, points=int(on_ground.sum()))


def _level_plane(
    points: Float[ndarray, "P 3"], centers: Float[ndarray, "T 3"], up: Float[ndarray, "3"]
) -> tuple[Float[ndarray, "3"], float, Bool[ndarray, "P"]] | None:
    """The level plane normal . X + offset = 0 below all cameras with most points on it (random sample consensus)."""
    random = np.random.default_rng(0)
    best: tuple[ndarray, float, ndarray] | None = None
    # Ground lies below the horizon; leaving out the rest makes most of the trials count.
    below = points[(points - np.median(centers, axis=0)) @ up < 0]
    if len(below) < _MIN_POINTS:
        return None
    corners = below[random.integers(0, len(below), (_TRIALS, 3))]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    normals = normals * np.sign(normals @ up)[:, None]
    level = normals @ up > _MAX_TILT
    for normal, corner in zip(normals[level], corners[level, 0], strict=True):
        best = _better(best, normal, -float(normal @ corner), points, centers)
    if best is None or best[2].sum() < _MIN_POINTS:
        return None
    # Least squares on the points that agree, twice: the first choice rests on three of them.
    for _ in range(2):
        inside = points[best[2]]
        normal = np.linalg.svd(inside - inside.mean(axis=0), full_matrices=False)[2][2]
        normal = normal * np.sign(normal @ up)
        offset = -float(normal @ inside.mean(axis=0))
        best = (normal, offset, _on_plane(normal, offset, points, centers))
        if best[2].sum() < _MIN_POINTS or normal @ up < _MAX_TILT:
            return None
    return best


def _better(
    best: tuple[ndarray, float, ndarray] | None,
    normal: Float[ndarray, "3"],
    offset: float,
    points: Float[ndarray, "P 3"],
    centers: Float[ndarray, "T 3"],
) -> tuple[ndarray, float, ndarray] | None:
    if (centers @ normal + offset).min() <= 0:
        return best
    on_plane = _on_plane(normal, offset, points, centers)
    return (normal, offset, on_plane) if best is None or on_plane.sum() > best[2].sum() else best


def _on_plane(
    normal: Float[ndarray, "3"], offset: float, points: Float[ndarray, "P 3"], centers: Float[ndarray, "T 3"]
) -> Bool[ndarray, "P"]:
    height = float(np.median(centers @ normal + offset))
    return np.abs(points @ normal + offset) < _THICKNESS * abs(height)
