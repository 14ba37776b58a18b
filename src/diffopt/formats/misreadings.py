"""The other ways to read a file's body and 2D: the mistakes that people make with these files."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy import ndarray

from diffopt.formats.parts import REST_PELVIS_M, Lens
from diffopt.formats.view import View, boxes_of

CROP_SIZES = (224.0, 256.0)


def other_readings(view: View) -> Iterator[tuple[str, str, View]]:
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
    rest = np.tile(REST_PELVIS_M[view.family], (len(bodies.frames), 1))
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


def crop_readings(view: View) -> Iterator[tuple[str, str, View]]:
    """As `other_readings`, for what belongs to the crop around the person: these views are made with the 2D."""
    bodies = view.bodies

    def moved(pelvis: ndarray) -> View:
        return replace(view, bodies=replace(bodies, pelvis=pelvis))

    crop = "the intrinsics or the position are those of the crop around the person: give the full frame's"
    for size in CROP_SIZES:
        yield "crop intrinsics (pixels of a crop)", crop, replace(view, crop_size_px=size)
    around = boxes_of(view)
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
