"""PromptHMR (video): `results.pkl`, joblib.

Convention: `people` by track with `frames`, `bboxes` (left, top, right, bottom), `smplx_cam` {`rotmat` (N, 55, 3, 3) or
`pose`, `shape`, `trans`} in the camera frame, SMPL-X, `trans` smplx's `transl`; `camera` {`pred_cam_R`, `pred_cam_T`}
camera-to-world in metres, `img_focal`, `img_center`. Pixels are those of the frames it worked on, at most 896 high, not
the video's. `camera_world` and `smplx_world` are the same after one network's guess of gravity and are not read.
`vitpose` (N, 17+, 3) and `keypoints_2d` (BODY_25 first) may have been left out of the file.
"""

from typing import Any

import numpy as np

from diffopt.formats.parts import (
    Body,
    Camera,
    Contents,
    Detections,
    Person,
    constant_lens,
    inverse,
    matrices,
    one_shape,
    proper_rotations,
    with_hands,
)


def matches(content: Any) -> bool:
    """`camera` and `people` with `smplx_cam`."""
    return (
        isinstance(content, dict)
        and {"camera", "people"} <= content.keys()
        and isinstance(content["people"], dict)
        and all("smplx_cam" in person for person in content["people"].values())
    )


def parse(content: Any) -> Contents:
    """All people and the camera."""
    camera = content["camera"]
    c2w = proper_rotations(np.asarray(camera["pred_cam_R"]))
    rotation, translation = inverse(c2w, np.asarray(camera["pred_cam_T"], np.float64))
    center = np.asarray(camera["img_center"], np.float64).reshape(2)
    lens = constant_lens(float(np.asarray(camera["img_focal"])), center, len(c2w))
    return Contents(
        people=tuple(_person(str(name), one) for name, one in content["people"].items()),
        camera=Camera(np.arange(len(c2w)), rotation, translation, scale="metric", lens=lens),
        image_size_px=(round(2 * center[0]), round(2 * center[1])),
        num_frames=len(c2w),
    )


def _person(name: str, one: dict[str, Any]) -> Person:
    smplx = one["smplx_cam"]
    frames = np.asarray(one["frames"]).astype(int)
    rotations = proper_rotations(np.asarray(smplx["rotmat"])) if "rotmat" in smplx else matrices(smplx["pose"])
    body = Body(
        body_pose=with_hands(rotations[:, 1:22]),
        global_orient=rotations[:, 0],
        position=np.asarray(smplx["trans"], np.float64).reshape(-1, 3),
        betas=one_shape(smplx["shape"]),
        family="smplx",
    )
    keypoints = None
    if "keypoints_2d" in one:
        keypoints = Detections("openpose25", frames, np.asarray(one["keypoints_2d"], np.float64)[:, :25])
    elif "vitpose" in one:
        keypoints = Detections("coco17", frames, np.asarray(one["vitpose"], np.float64)[:, :17])
    return Person(
        name=name,
        frames=frames,
        body=body,
        boxes_px=np.asarray(one["bboxes"], np.float64)[:, :4] if "bboxes" in one else None,
        keypoints=keypoints,
    )
