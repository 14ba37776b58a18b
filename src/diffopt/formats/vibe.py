"""VIBE `vibe_output.pkl`: joblib, a dictionary by person.

Convention: `pose` (N, 72) axis-angle in the camera frame; `pred_cam` (s, tx, ty) a weak-perspective camera of the
square crop `bboxes` (centre x, centre y, width, height): a point x falls on crop centre + side / 2 * s (x + tx).
`orig_cam` is the same for the full frame and gives its size. There is no focal length; depth follows whichever is
taken. `joints2d` are detections in the crop where they were asked for; `joints2d_img_coord` (N, 49, 2) is VIBE's own
projection, BODY_25 first. `frame_ids` are the video's frames.
"""

from typing import Any

import numpy as np

from diffopt.formats.parts import Body, Contents, Detections, Lens, Person, matrices, one_shape


def matches(content: Any) -> bool:
    """A dictionary by person with VIBE's keys."""
    keys = {"pred_cam", "orig_cam", "pose", "bboxes", "frame_ids"}
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(one, dict) and keys <= one.keys() for one in content.values())
    )


def parse(content: Any) -> Contents:
    """All people."""
    first = next(iter(content.values()))
    scale = np.asarray(first["pred_cam"], np.float64)[0, 0]
    side = np.asarray(first["bboxes"], np.float64)[0, 2]
    orig = np.asarray(first["orig_cam"], np.float64)[0]
    size = (round(scale * side / orig[0]), round(scale * side / orig[1]))
    return Contents(people=tuple(_person(str(name), one, size) for name, one in content.items()), image_size_px=size)


def _person(name: str, one: dict[str, Any], size: tuple[int, int]) -> Person:
    pose = matrices(one["pose"])
    boxes = np.asarray(one["bboxes"], np.float64)
    camera = np.asarray(one["pred_cam"], np.float64)
    frames = np.asarray(one["frame_ids"]).astype(int)
    middle = np.asarray(size) / 2
    focal = float(np.hypot(*size))
    depth = 2 * focal / (camera[:, 0] * boxes[:, 2])
    position = np.column_stack([camera[:, 1:] + (boxes[:, :2] - middle) * depth[:, None] / focal, depth])
    keypoints = None
    if one.get("joints2d_img_coord") is not None:
        points = np.asarray(one["joints2d_img_coord"], np.float64)[:, :25, :2]
        keypoints = Detections("openpose25", frames, np.concatenate([points, np.ones((len(points), 25, 1))], axis=-1))
    return Person(
        name=name,
        frames=frames,
        body=Body(pose[:, 1:], pose[:, 0], position, one_shape(one["betas"])),
        lens=Lens(np.full(len(frames), focal), np.tile(middle, (len(frames), 1))),
        depth_follows_focal=True,
        boxes_px=np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1),
        keypoints=keypoints,
        keypoints_are_detections=False,
    )
