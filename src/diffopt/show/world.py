"""The world seen by an onlooker: a checkered floor, the person, where the root went, and the filming camera.

The onlooker follows the person smoothly from behind and beside the filming camera, so that one sees both move.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from diffopt.geometry.cameras import look_at
from diffopt.show.palette import BODY, CAMERA, ROOT, TRUTH, rgb
from diffopt.show.raster import Image, Picture, View, draw_mesh, rasterize

_FIELD_OF_VIEW = np.radians(40.0)
"""Vertical."""
_BESIDE = np.radians(50.0)
"""How far around the person the onlooker stands from the filming camera."""
_ABOVE = np.radians(20.0)
_SMOOTHING_S = 0.8
_REACH_M = 4.0
"""A filming camera farther than this from the person may leave the onlooker's picture; the person stays readable."""
_PERSON_M = 0.9
"""From the root to the side of the picture."""
_PERSON_TALL_M = 1.4
"""From the root to its upper and lower edge."""
_SKY, _TILE_LIGHT, _TILE_DARK = (
    [255 * channel for channel in rgb(color)] for color in ("#f4f6f8", "#e4e8ec", "#cdd4da")
)
_FADE_M = (5.0, 16.0)
"""The floor fades into the sky between these distances from the person."""
_SHADOW_DIRECTION = np.array([0.35, -1.0, -0.2])
_SHADOW = 0.28
_FRUSTUM_M = 0.6


@dataclass(frozen=True)
class Paths:
    """What moves through the world, per frame, metres."""

    root: Float[np.ndarray, "T 3"]
    rotation_w2c: Float[np.ndarray, "T 3 3"]
    translation_w2c: Float[np.ndarray, "T 3"]
    truth_root: Float[np.ndarray, "T 3"] | None = None

    @property
    def camera(self) -> Float[np.ndarray, "T 3"]:
        """Where the filming camera stands."""
        return -np.einsum("tji,tj->ti", self.rotation_w2c, self.translation_w2c)


class Onlooker:
    """Draws the world frame by frame."""

    def __init__(self, paths: Paths, fps: float, size_px: tuple[int, int]) -> None:
        self.paths = paths
        self.size_px = size_px
        self.focal_px = size_px[1] / 2 / np.tan(_FIELD_OF_VIEW / 2)
        eye, target = follow(paths.root, paths.camera, fps, size_px[0] / size_px[1])
        rotation, translation = look_at(torch.from_numpy(eye), torch.from_numpy(target))
        self._rotations, self._translations = rotation.numpy(), translation.numpy()

    def view(self, frame: int) -> View:
        """The onlooker's camera."""
        width, height = self.size_px
        center_px = np.array([(width - 1) / 2, (height - 1) / 2])
        return View(self._rotations[frame], self._translations[frame], self.focal_px, center_px, self.size_px)

    def draw(
        self,
        frame: int,
        vertices_w: Float[np.ndarray, "V 3"],
        faces: Int[np.ndarray, "F 3"],
        filmed: View,
        picture: Picture | None,
    ) -> Image:
        """One frame of the world.

        Args:
            frame: its number.
            vertices_w: the body, metres.
            faces: the body's.
            filmed: the camera of the video.
            picture: the video's frame, shown in the camera's frustum; None leaves it empty.
        """
        view, paths = self.view(frame), self.paths
        image = draw_floor(view, paths.root[frame])
        draw_shadow(image, view, vertices_w, faces)
        if paths.truth_root is not None:
            draw_path(image, view, _on_floor(paths.truth_root), rgb(TRUTH), 1)
        draw_path(image, view, _on_floor(paths.root), _pale(ROOT), 1)
        draw_path(image, view, _on_floor(paths.root[: frame + 1]), rgb(ROOT), 3)
        draw_path(image, view, paths.camera, _pale(CAMERA), 1)
        draw_path(image, view, paths.camera[: frame + 1], rgb(CAMERA), 2)
        onlooker = view.center_w
        nearer = np.linalg.norm(filmed.center_w - onlooker) < np.linalg.norm(paths.root[frame] - onlooker)
        if nearer:
            image = draw_mesh(image, vertices_w, faces, view, rgb(BODY))
        draw_frustum(image, view, filmed, picture)
        return image if nearer else draw_mesh(image, vertices_w, faces, view, rgb(BODY))


def follow(
    root: Float[np.ndarray, "T 3"], camera: Float[np.ndarray, "T 3"], fps: float, aspect: float
) -> tuple[Float[np.ndarray, "T 3"], Float[np.ndarray, "T 3"]]:
    """Where the onlooker stands and looks in every frame: near enough to see the person, far enough to see the camera.

    Args:
        root: the person's path, metres.
        camera: the filming camera's path, metres.
        fps: frames per second.
        aspect: width over height of the onlooker's picture.

    Returns:
        Eye and target, (T, 3) each, metres.
    """
    sigma = _SMOOTHING_S * fps
    person = gaussian_filter1d(root.astype(np.float64), sigma, axis=0, mode="nearest")
    away = gaussian_filter1d(camera.astype(np.float64), sigma, axis=0, mode="nearest") - person
    away[:, 1] = 0
    distance = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    shown = away / distance * np.minimum(distance, _REACH_M)
    target = person + 0.45 * shown
    target[:, 1] = person[:, 1]

    # One direction for the whole clip: a view that turns by itself hides who turned.
    direction = away.mean(axis=0)
    direction = direction / np.linalg.norm(direction) if np.linalg.norm(direction) > 1e-3 else np.array([0.0, 0.0, 1.0])
    cosine, sine = np.cos(_BESIDE), np.sin(_BESIDE)
    beside = Rotation.from_rotvec([0.0, _BESIDE, 0.0]).apply(direction)
    # From where the onlooker stands, the way from the target to either of the two lies aslant: partly across the
    # picture, partly towards the eye.
    half = 0.5 * np.linalg.norm(shown, axis=1).max()
    across = half * sine + _PERSON_M
    back = max(across / aspect, _PERSON_TALL_M) / np.tan(_FIELD_OF_VIEW / 2) + half * cosine
    eye = target + back * (np.cos(_ABOVE) * beside + np.sin(_ABOVE) * np.array([0.0, 1.0, 0.0]))
    eye[:, 1] = np.maximum(eye[:, 1], 0.3)
    return eye, target


def draw_floor(view: View, around: Float[np.ndarray, "3"]) -> Image:
    """The sky and the floor y = 0 in squares of one metre, fading out with the distance from `around`."""
    width, height = view.size_px
    # Single precision throughout: this touches every pixel of every frame.
    columns = ((np.arange(width) - view.center_px[0]) / view.focal_px).astype(np.float32)
    rows = ((np.arange(height) - view.center_px[1]) / view.focal_px).astype(np.float32)[:, None]
    right, down, ahead = view.rotation_w2c.astype(np.float32)
    center_x, center_y, center_z = view.center_w.tolist()
    fall = -(columns * right[1] + rows * down[1] + ahead[1])
    hit = (fall > 1e-4) & (center_y > 0)
    reach = np.where(hit, center_y / np.where(hit, fall, np.float32(1)), np.float32(0))
    x = center_x + reach * (columns * right[0] + rows * down[0] + ahead[0])
    z = center_z + reach * (columns * right[2] + rows * down[2] + ahead[2])
    # The checks are averaged over each pixel's footprint on the floor, which is what keeps them from flickering.
    light = 0.5 - 0.5 * _averaged_wave(x) * _averaged_wave(z)
    away = np.hypot(x - float(around[0]), z - float(around[2]))
    visible = np.where(hit, np.clip((_FADE_M[1] - away) / (_FADE_M[1] - _FADE_M[0]), 0, 1), np.float32(0))
    floor = [dark + light * (pale - dark) for dark, pale in zip(_TILE_DARK, _TILE_LIGHT, strict=True)]
    channels = [sky + visible * (color - sky) + 0.5 for color, sky in zip(floor, _SKY, strict=True)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _averaged_wave(position: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """A wave of +1 and -1 with steps at whole metres, averaged over the pixel's extent along this axis."""
    across, down = np.gradient(position, axis=1), np.gradient(position, axis=0)
    extent = np.clip(np.hypot(across, down), 1e-4, 4)

    def integral(end: np.ndarray) -> np.ndarray:
        return np.abs(end - 2 * np.round(end / 2))

    return np.clip((integral(position + extent / 2) - integral(position - extent / 2)) / extent, -1, 1)


def draw_shadow(image: Image, view: View, vertices_w: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> None:
    """Darken the floor where a mesh keeps the light off it."""
    on_floor = vertices_w - _SHADOW_DIRECTION * (vertices_w[:, 1:2] / _SHADOW_DIRECTION[1])
    points_c = view.to_camera(on_floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Flat on the floor, half of the faces look down: none is culled.
        shade = rasterize(view.to_pixels(points_c), points_c[:, 2], faces, view.size_px, cull=False)
    if len(shade.row) == 0:
        return
    softness = 1 + image.shape[0] / 400
    margin = math.ceil(3 * softness)
    top, left = max(shade.row.min() - margin, 0), max(shade.column.min() - margin, 0)
    patch = image[top : shade.row.max() + margin + 1, left : shade.column.max() + margin + 1]
    mask = np.zeros(patch.shape[:2], dtype=np.float32)
    mask[shade.row - top, shade.column - left] = _SHADOW
    mask = cv2.GaussianBlur(mask, (0, 0), softness)
    patch[:] = (patch * (1 - mask[..., None])).astype(np.uint8)


def draw_path(
    image: Image, view: View, points_w: Float[np.ndarray, "N 3"], color: tuple[float, float, float], thickness: int
) -> None:
    """Draw a line through points of the world into the picture; what lies behind the view is left out."""
    points_c = view.to_camera(points_w)
    for span in _spans(points_c[:, 2] > 0.1):
        if span.stop - span.start > 1:
            _draw_line(image, view.to_pixels(points_c[span]), color, thickness)


def draw_frustum(image: Image, view: View, filmed: View, picture: Picture | None) -> None:
    """Draw the filming camera as a pyramid whose base shows what it films."""
    corners_w = _frustum_corners(filmed)
    points_c = view.to_camera(np.concatenate([filmed.center_w[None], corners_w]))
    if points_c[:, 2].min() < 0.1:
        return
    points_px = view.to_pixels(points_c)
    apex, base = points_px[0], points_px[1:]
    if picture is not None:
        _paste(image, picture, base)
    for corner in base:
        _draw_line(image, np.stack([apex, corner]), rgb(CAMERA), 1)
    _draw_line(image, np.concatenate([base, base[:1]]), rgb(CAMERA), 2)
    cv2.circle(image, _fixed(apex), 4 * 2**_SHIFT, _bytes(rgb(CAMERA)), -1, cv2.LINE_AA, _SHIFT)


def _frustum_corners(filmed: View) -> Float[np.ndarray, "4 3"]:
    width, height = filmed.size_px
    corners_px = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float64)
    rays = np.concatenate([(corners_px - filmed.center_px) / filmed.focal_px, np.ones((4, 1))], axis=1)
    # A size that does not change with the zoom: the diagonal of the base, not its depth, is fixed.
    depth = 2 * _FRUSTUM_M / np.linalg.norm(rays[2] - rays[0])
    depth = min(depth, 1.2)
    return (rays * depth - filmed.translation_w2c) @ filmed.rotation_w2c


def _paste(image: Image, picture: Picture, corners_px: Float[np.ndarray, "4 2"]) -> None:
    height, width = picture.shape[:2]
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    low = np.clip(np.floor(corners_px.min(axis=0)), 0, None).astype(int)
    high = np.clip(np.ceil(corners_px.max(axis=0)) + 1, None, (image.shape[1], image.shape[0])).astype(int)
    size = (high - low).tolist()
    if min(size) <= 0:
        return
    warp = cv2.getPerspectiveTransform(source, (corners_px - low).astype(np.float32))
    small = cv2.warpPerspective(picture, warp, size, flags=cv2.INTER_LINEAR)
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    cv2.fillConvexPoly(mask, _fixed_points(corners_px - low), 255, cv2.LINE_AA, _SHIFT)
    alpha = mask[..., None] / np.float32(255)
    patch = image[low[1] : high[1], low[0] : high[0]]
    patch[:] = (patch * (1 - alpha) + small * alpha).astype(np.uint8)


_SHIFT = 4
"""OpenCV draws at sixteenths of a pixel."""


def _draw_line(image: Image, points_px: np.ndarray, color: tuple[float, float, float], thickness: int) -> None:
    cv2.polylines(image, [_fixed_points(points_px)], False, _bytes(color), thickness, cv2.LINE_AA, _SHIFT)


def _fixed_points(points_px: np.ndarray) -> np.ndarray:
    return np.round(np.clip(points_px, -1e5, 1e5) * 2**_SHIFT).astype(np.int32)[:, None]


def _fixed(point_px: np.ndarray) -> tuple[int, int]:
    x, y = np.round(np.clip(point_px, -1e5, 1e5) * 2**_SHIFT).astype(int).tolist()
    return x, y


def _bytes(color: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * channel) for channel in color)
    return red, green, blue


def _pale(color: str) -> tuple[float, float, float]:
    red, green, blue = (0.5 + 0.5 * channel for channel in rgb(color))
    return red, green, blue


def _on_floor(points_w: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    return points_w * np.array([1.0, 0.0, 1.0])


def _spans(kept: Bool[np.ndarray, "N"]) -> list[slice]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return [slice(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]
