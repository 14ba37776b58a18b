"""A z-buffer rasteriser in numpy: draws a body mesh into a picture without OpenGL, a display or a GPU.

Every face offers the pixels of its bounding box; those inside it compete by depth. Body faces cover a few pixels each,
so the boxes are small and the whole frame is a dozen array operations. Depth and barycentric coordinates are
perspective-correct: the inverse of the depth is what is linear in the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from diffopt.geometry.mesh import vertex_normals

Image = UInt8[np.ndarray, "H W 3"]
"""RGB, 8 bits."""
Picture = UInt8[np.ndarray, "h w 3"]
"""The same, of another size: what goes into an image, or beside it."""

_INSIDE = -1e-5
"""A pixel on the edge of two faces belongs to both: the depth test decides, and no crack opens between them."""
_SUPERSAMPLED_PIXELS = 300_000
"""Largest crop, in pixels, that is drawn at twice its size against jagged edges."""


@dataclass(frozen=True)
class View:
    """A pinhole camera: OpenCV axes, world-to-camera, pixels whose centres stand at whole numbers."""

    rotation_w2c: Float[np.ndarray, "3 3"]
    translation_w2c: Float[np.ndarray, "3"]
    focal_px: float
    center_px: Float[np.ndarray, "2"]
    size_px: tuple[int, int]
    """Width, height."""

    def to_camera(self, points_w: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
        """World points in the camera's frame, metres."""
        return points_w @ self.rotation_w2c.T + self.translation_w2c

    def to_pixels(self, points_c: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 2"]:
        """Camera-frame points in the picture; meaningless for points behind the camera."""
        return self.focal_px * points_c[..., :2] / points_c[..., 2:] + self.center_px

    @property
    def center_w(self) -> Float[np.ndarray, "3"]:
        """Where the camera stands, metres."""
        return -self.rotation_w2c.T @ self.translation_w2c

    def scaled(self, size_px: tuple[int, int]) -> "View":
        """The same view in a picture of another size (same proportions up to rounding)."""
        factor = size_px[0] / self.size_px[0]
        # The centre of the first pixel is at 0, its outer edge at -0.5: the edge is what stays in place.
        center_px = (self.center_px + 0.5) * factor - 0.5
        return View(self.rotation_w2c, self.translation_w2c, self.focal_px * factor, center_px, size_px)


@dataclass(frozen=True)
class Fragments:
    """The covered pixels of a picture, each with the nearest face there."""

    row: Int[np.ndarray, "N"]
    column: Int[np.ndarray, "N"]
    face: Int[np.ndarray, "N"]
    barycentric: Float[np.ndarray, "N 3"]
    """Perspective-correct weights of the face's corners."""
    depth: Float[np.ndarray, "N"]
    """Camera-frame z, metres."""


def rasterize(
    points_px: Float[np.ndarray, "V 2"],
    depth: Float[np.ndarray, "V"],
    faces: Int[np.ndarray, "F 3"],
    size_px: tuple[int, int],
    near: float = 0.05,
    cull: bool = True,
) -> Fragments:
    """Find, for every pixel of a picture, the nearest face over its centre.

    Args:
        points_px: projected vertices.
        depth: their camera-frame z, metres.
        faces: vertex indices, counter-clockwise seen from outside.
        size_px: width and height of the picture.
        near: faces with a corner nearer than this, metres, are left out.
        cull: leave out faces that are seen from inside.

    Returns:
        The covered pixels, in rows from the top.
    """
    width, height = size_px
    kept = np.flatnonzero(depth[faces].min(axis=1) > near)
    corners = points_px[faces[kept]].astype(np.float64)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    # Counter-clockwise in the world is clockwise in a picture whose y points down, hence a negative area.
    doubled_area = edge_1[:, 0] * edge_2[:, 1] - edge_1[:, 1] * edge_2[:, 0]
    low = np.maximum(np.ceil(corners.min(axis=1)), 0).astype(np.int64)
    high = np.minimum(np.floor(corners.max(axis=1)), [width - 1, height - 1]).astype(np.int64)
    drawn = ((doubled_area < -1e-9) if cull else (np.abs(doubled_area) > 1e-9)) & (high >= low).all(axis=1)
    kept, corners, low, high, doubled_area = kept[drawn], corners[drawn], low[drawn], high[drawn], doubled_area[drawn]
    edge_1, edge_2 = edge_1[drawn] / doubled_area[:, None], edge_2[drawn] / doubled_area[:, None]

    # One row per (face, pixel of its box); positions are counted from the box's corner to keep float32 exact enough.
    spans = high - low + 1
    counts = spans[:, 0] * spans[:, 1]
    which = np.repeat(np.arange(len(kept)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    step_y, step_x = np.divmod(within, spans[which, 0])
    start = low - corners[:, 0]
    weight_1 = _affine(start[:, 0] * edge_2[:, 1] - start[:, 1] * edge_2[:, 0], edge_2[:, 1], -edge_2[:, 0])
    weight_2 = _affine(edge_1[:, 0] * start[:, 1] - edge_1[:, 1] * start[:, 0], -edge_1[:, 1], edge_1[:, 0])
    second = weight_1[which, 0] + weight_1[which, 1] * step_x + weight_1[which, 2] * step_y
    third = weight_2[which, 0] + weight_2[which, 1] * step_x + weight_2[which, 2] * step_y
    inside = np.flatnonzero((second >= _INSIDE) & (third >= _INSIDE) & (second + third <= 1 - _INSIDE))
    which, second, third = which[inside], second[inside], third[inside]
    pixel = (low[which, 1] + step_y[inside]) * width + low[which, 0] + step_x[inside]

    inverse = (1 / depth)[faces[kept]][which]
    weights = np.stack([1 - second - third, second, third], axis=1) * inverse
    nearness = weights.sum(axis=1)
    nearest = np.zeros(width * height, dtype=nearness.dtype)
    np.maximum.at(nearest, pixel, nearness)
    winners = np.flatnonzero(nearness == nearest[pixel])
    covered, first = np.unique(pixel[winners], return_index=True)
    winners = winners[first]
    return Fragments(
        row=covered // width,
        column=covered % width,
        face=kept[which[winners]],
        barycentric=weights[winners] / nearness[winners, None],
        depth=1 / nearness[winners],
    )


def draw_mesh(
    image: Image,
    vertices_w: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    view: View,
    color: tuple[float, float, float],
    opacity: float = 1.0,
) -> Image:
    """Blend a smoothly shaded mesh over a picture.

    Args:
        image: the picture, of the view's size; left as it is.
        vertices_w: the mesh in the world, metres.
        faces: vertex indices, counter-clockwise seen from outside.
        view: the camera.
        color: red, green and blue of the material, 0 to 1.
        opacity: 1 hides the picture behind the mesh.

    Returns:
        A new picture.
    """
    points_c = view.to_camera(vertices_w)
    layer, corner = _shaded_layer(points_c, faces, view, color)
    result = image.copy()
    if layer is None:
        return result
    height, width = layer.shape[:2]
    patch = result[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    alpha = layer[..., 3:] * opacity
    patch[:] = np.clip(patch * (1 - alpha) + layer[..., :3] * opacity * 255 + 0.5, 0, 255).astype(np.uint8)
    return result


def _shaded_layer(
    points_c: Float[np.ndarray, "V 3"],
    faces: Int[np.ndarray, "F 3"],
    view: View,
    color: tuple[float, float, float],
) -> tuple[np.ndarray | None, tuple[int, int]]:
    """Draw the mesh alone: premultiplied RGBA from 0 to 1 around it, and where its top left corner lies."""
    front = points_c[points_c[:, 2] > 0.05]
    if len(front) == 0:
        return None, (0, 0)
    outline = view.to_pixels(front)
    low = np.clip(np.floor(outline.min(axis=0)), 0, view.size_px).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, view.size_px).astype(int)
    width, height = (high - low).tolist()
    if width <= 0 or height <= 0:
        return None, (0, 0)
    factor = 2 if width * height <= _SUPERSAMPLED_PIXELS else 1
    crop = View(view.rotation_w2c, view.translation_w2c, view.focal_px, view.center_px - low, (width, height))
    crop = crop.scaled((width * factor, height * factor))
    with np.errstate(divide="ignore", invalid="ignore"):  # vertices at depth 0; their faces are left out
        fragments = rasterize(crop.to_pixels(points_c), points_c[:, 2], faces, crop.size_px)
    corners = vertex_normals(points_c, faces)[faces[fragments.face]]
    normals = np.einsum("nk,nkd->nd", fragments.barycentric, corners)
    layer = np.zeros((height * factor, width * factor, 4), dtype=np.float32)
    shade = _lighting(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9))
    layer[fragments.row, fragments.column, :3] = np.minimum(np.asarray(color) * shade[:, None], 1)
    layer[fragments.row, fragments.column, 3] = 1
    if factor > 1:
        layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
    return layer, (int(low[0]), int(low[1]))


def _lighting(normals_c: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N"]:
    """Brightness under a key light over the viewer's left shoulder, a fill light from the right, and a dark rim."""
    key = np.clip(normals_c @ _unit(-0.45, -0.65, -0.65), 0, 1)
    fill = np.clip(normals_c @ _unit(0.8, -0.1, -0.45), 0, 1)
    facing = np.clip(-normals_c[:, 2], 0, 1)
    return (0.4 + 0.6 * key + 0.2 * fill) * (0.72 + 0.28 * np.sqrt(facing))


def _affine(value: np.ndarray, slope_x: np.ndarray, slope_y: np.ndarray) -> Float[np.ndarray, "F 3"]:
    return np.stack([value, slope_x, slope_y], axis=1).astype(np.float32)


def _unit(x: float, y: float, z: float) -> Float[np.ndarray, "3"]:
    vector = np.array([x, y, z])
    return vector / np.linalg.norm(vector)
