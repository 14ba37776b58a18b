"""The check on load: the body, projected, must fall on the files' own 2D; if not, which convention would make it fit.

With the free body in the place of SMPL it sees what moves the body by more than a tenth of its size: a wrong camera,
lens, root (against keypoints) or axis. It does not see a wrong shape, nor a person 10 % taller than the free body.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.data.formats.parts import REST_PELVIS_M, Detections, Lens
from diffopt.data.formats.place import Placed, posed_landmarks, posed_vertices
from diffopt.errors import DiffoptError

KEYPOINT_TOLERANCE = 0.10
"""Median distance from the 2D, in parts of the person's size in the image (the diagonal of its box)."""
BOX_TOLERANCE = 0.06
"""Boxes say less: one wrong edge is forgiven, so what moves the body counts for less."""
CONFIDENT = 0.3
MAX_FRAMES, MAX_FRAMES_OF_MESH = 30, 10
"""Evenly spread: conventions do not change within a file. Boxes are checked with the whole mesh."""
CROP_SIZES = (224.0, 256.0)


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


def check(view: View, model: BodyModel, where: str, what: str) -> float:
    """Measure the distance between body and 2D.

    Args:
        view: body, lens and 2D.
        model: the body to pose.
        where: the file, for the error.
        what: the 2D, for the error.

    Returns:
        The median distance in parts of the person's size.

    Raises:
        DiffoptError: it is more than the tolerance; says which other convention fits.
    """
    tolerance = BOX_TOLERANCE if view.detections is None else KEYPOINT_TOLERANCE
    found = misfit(view, model)
    if found <= tolerance:
        return found
    others = [(misfit(other, model), name, mend) for name, mend, other in _alternatives(view)]
    best, name, mend = min(others, key=lambda one: one[0])
    away = f"{found:.0%} of the person's size away" if np.isfinite(found) else "behind the camera"
    head = f"{where}: the body does not fall on {what}: it is {away} (at most {tolerance:.0%} is expected)."
    if best <= tolerance and best < found / 1.5:
        raise DiffoptError(f"{head} It fits ({best:.0%}) with another convention: {name}; {mend}.")
    tried = ", ".join(dict.fromkeys(name.split(" (")[0] for _, name, _ in others))
    raise DiffoptError(
        f"{head} No other convention fits either (tried: {tried}); are the files of the same video, person and image "
        "size?"
    )


def misfit(view: View, model: BodyModel) -> float:
    """Median distance from the 2D in parts of the person's size; infinite if the body is behind the camera."""
    if (view.bodies.pelvis[:, 2] <= 0).mean() > 0.5:
        return np.inf
    if view.detections is not None:
        regressor = keypoint_regressor(view.detections.keypoint_set).double().numpy()
        points = _project(regressor @ posed_landmarks(view.bodies, model), view)
        distances = _nearest(points, regressor.sum(axis=1) > 0, view.bodies.frames, view.detections)[0]
        return float(np.nanmedian(distances)) if np.isfinite(distances).any() else np.inf
    assert view.boxes_px is not None
    points = _project(posed_vertices(view.bodies, model), view)
    edge = np.array(view.image_size_px, np.float64)
    found = np.concatenate([points.min(axis=1).clip(0, edge), points.max(axis=1).clip(0, edge)], axis=1)
    boxes = np.concatenate([view.boxes_px[:, :2].clip(0, edge), view.boxes_px[:, 2:].clip(0, edge)], axis=1)
    size = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1).clip(1, None)
    # The third smallest of the four edges' distances: one edge may be off because something hides that part.
    edges = np.sort(np.abs(found - boxes), axis=1)[:, 2]
    return float(np.median(edges / size))


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
    boxes = _boxes(view)
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return center[:, None] + (pixels / view.crop_size_px - 0.5) * side[:, None, None]


def _boxes(view: View) -> Float[ndarray, "N 4"]:
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


def _alternatives(view: View) -> Iterator[tuple[str, str, View]]:
    """Name, how to mend it, and the view as it would be: the mistakes that people make with these files."""
    bodies, boxes, detections = view.bodies, view.boxes_px, view.detections

    def moved(pelvis: ndarray) -> View:
        return replace(view, bodies=replace(bodies, pelvis=pelvis))

    if view.rotation_w2c is not None and view.translation_w2c is not None:
        turn, shift = view.rotation_w2c, view.translation_w2c
        back = np.swapaxes(turn, -1, -2)
        in_world = np.einsum("nij,nj->ni", back, bodies.pelvis - shift)
        inverted = replace(
            bodies,
            global_orient=back @ back @ bodies.global_orient,
            pelvis=np.einsum("nij,nj->ni", back, in_world - shift),
        )
        mend = "the file's cameras are camera-to-world where world-to-camera is expected: invert them"
        yield "inverted extrinsics", mend, replace(view, bodies=inverted)
    crop = "the intrinsics or the position are those of the crop around the person: give the full frame's"
    for size in CROP_SIZES:
        yield "crop intrinsics (pixels of a crop)", crop, replace(view, crop_size_px=size)
    around = _boxes(view)
    center, side = (around[:, :2] + around[:, 2:]) / 2, (around[:, 2:] - around[:, :2]).max(axis=1)
    yield (
        "crop intrinsics (principal point of the crop)",
        crop,
        replace(view, lens=replace(view.lens, center_px=center)),
    )
    rest = np.tile(REST_PELVIS_M[view.family], (len(bodies.frames), 1))
    scale, offset = view.position[:, :1], view.position[:, 1:]
    if (scale > 0).all():
        depth = 2 * view.lens.focal_px[:, None] / (scale * side[:, None])
        weak = np.concatenate([offset + (center - view.lens.center_px) * depth / view.lens.focal_px[:, None], depth], 1)
        yield "crop intrinsics (a crop's scale and shift as position)", crop, moved(weak + rest)
    for size in CROP_SIZES:
        larger = view.position * side[:, None] / size + rest
        yield "crop intrinsics (position scaled to a crop)", crop, moved(larger)
    for focal in (1000.0, 5000.0):
        for size in CROP_SIZES:
            lens = Lens(focal / size * side, center)
            yield "crop intrinsics (focal length of a crop)", crop, replace(view, lens=lens)
    if view.rotation_w2c is not None:
        rest = np.einsum("nij,nj->ni", view.rotation_w2c, rest)
    if view.position_is_transl:
        mend = "the position is the pelvis joint's where smplx's `transl` is expected: subtract the rest pelvis"
        yield "root position instead of transl", mend, moved(bodies.pelvis - rest)
    flip = np.array([1.0, -1.0, -1.0])
    mend = "the camera frame has y up and looks along -z (OpenGL) where y down and +z (OpenCV) is expected: flip both"
    turned = replace(bodies, pelvis=bodies.pelvis * flip, global_orient=flip[:, None] * bodies.global_orient)
    yield "OpenGL axes", mend, replace(view, bodies=turned)
    kept = rest if view.position_is_transl else 0 * rest
    metres = moved((bodies.pelvis - kept) / 1000 + kept)
    yield "millimetres", "positions are in millimetres where metres are expected", metres
    transposed = replace(
        bodies,
        body_pose=np.swapaxes(bodies.body_pose, -1, -2),
        global_orient=np.swapaxes(bodies.global_orient, -1, -2),
    )
    yield "transposed rotations", "the body's rotation matrices are transposed", replace(view, bodies=transposed)
    swapped = Lens(view.lens.focal_px, view.lens.center_px[:, ::-1])
    yield "swapped image size", "width and height (or the principal point) are swapped", replace(view, lens=swapped)
    if detections is not None:
        rows = detections.points
        yield (
            "swapped keypoint coordinates",
            "the keypoints are (y, x) where (x, y) is expected, or the other way round",
            replace(view, detections=replace(detections, points=rows[..., [1, 0, 2]])),
        )
        scaled = rows * np.array([*view.image_size_px, 1.0])
        mend = "the keypoints are parts of the image (0 to 1) where pixels are expected"
        yield "normalised keypoints", mend, replace(view, detections=replace(detections, points=scaled))
    elif boxes is not None:
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        mend = "the boxes are left, top, width, height where corners are expected"
        yield "boxes with width and height", mend, replace(view, boxes_px=corners)
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
        mend = "the boxes are corners where left, top, width, height are expected"
        yield "boxes with corners", mend, replace(view, boxes_px=sizes)


def few(count: int, limit: int) -> ndarray:
    """Rows to look at: all, or `limit` of them evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def landmarks_in_image(bodies: Placed, lens: Lens, keypoint_set: str, model: BodyModel) -> Float[ndarray, "N K 2"]:
    """The body's keypoints of a detector's set, pixels."""
    regressor = keypoint_regressor(keypoint_set).to(torch.float64).numpy()
    points = regressor @ posed_landmarks(bodies, model)
    return lens.focal_px[:, None, None] * points[..., :2] / points[..., 2:].clip(1e-3, None) + lens.center_px[:, None]
