"""HybrIK's demo `res.pk`: a pickle of arrays over the frames in which the person was found.

Convention: `pred_thetas` (N, 216) rotation matrices in the camera frame; `transl` is smplx's, for a focal length of
1000 on the 256-pixel crop, so 1000 / 256 * the box's width pixels on the full frame (another one in each frame), with
the principal point in the middle of the full frame; `transl_camsys` belongs to the crop and is not read. `bbox` is the
square crop (left, top, right, bottom); `pred_uvd` (N, 87) its own 2D points relative to that crop, -0.5 to 0.5. The
number in `img_path` is the frame's.
"""

import re
from typing import Any

import numpy as np

from diffopt.formats.parts import Body, Contents, Detections, Lens, Person, one_shape, proper_rotations

FOCAL, CROP = 1000.0, 256.0
NOT_SMPL = (15, 22, 23)
"""Jaw and thumbs, where SMPL has head and hands."""


def matches(content: Any) -> bool:
    """The demo's keys."""
    return isinstance(content, dict) and {"pred_thetas", "transl", "pred_uvd", "bbox", "height"} <= content.keys()


def parse(content: Any) -> Contents:
    """The one person that the demo follows."""
    boxes = np.asarray(content["bbox"], np.float64)
    count = len(boxes)
    width, height = int(np.asarray(content["width"])[0]), int(np.asarray(content["height"])[0])
    side = boxes[:, 2] - boxes[:, 0]
    rotations = proper_rotations(np.asarray(content["pred_thetas"]).reshape(count, 24, 3, 3))
    uv = np.asarray(content["pred_uvd"], np.float64).reshape(count, 29, 3)[:, :24, :2]
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    points = np.concatenate([uv * side[:, None, None] + center[:, None], np.ones((count, 24, 1))], axis=-1)
    if "pred_scores" in content:
        points[..., 2] = np.clip(np.asarray(content["pred_scores"], np.float64)[:, :24], 0, 1)
    points[:, list(NOT_SMPL), 2] = 0
    frames = _frames(content.get("img_path"), count)
    person = Person(
        name="0",
        frames=frames,
        body=Body(
            body_pose=rotations[:, 1:],
            global_orient=rotations[:, 0],
            position=np.asarray(content["transl"], np.float64).reshape(-1, 3),
            betas=one_shape(content["pred_betas"]),
        ),
        lens=Lens(FOCAL / CROP * side, np.tile([width / 2, height / 2], (count, 1))),
        depth_follows_focal=True,
        boxes_px=boxes,
        keypoints=Detections("smpl24", frames, points),
    )
    return Contents(people=(person,), image_size_px=(width, height), num_frames=int(frames[-1]) + 1)


def _frames(paths: Any, count: int) -> np.ndarray:
    if paths is None:
        return np.arange(count)
    numbers = [re.findall(r"\d+", str(path)) for path in np.asarray(paths).tolist()]
    if not all(numbers):
        return np.arange(count)
    frames = np.array([int(digits[-1]) for digits in numbers])
    return frames - 1  # ffmpeg, which the demo extracts its images with, counts from 1
