"""EMDB `*_data.pkl`: ground truth.

Convention: world with y up, metres, 30 frames per second; `smpl` {`poses_root`, `poses_body` (n, 69), `trans` (smplx's
`transl`), `betas` (10,)} in the world; `camera` {`intrinsics` (3, 3), `extrinsics` (n, 4, 4) world-to-camera, `width`,
`height`}; `kp2d` (n, 24, 2) are the SMPL joints projected, so truth and not detections; `bboxes["bboxes"]` left, top,
right, bottom; `good_frames_mask` false where the person is out of view. Betas are those of `gender`'s body.
"""

from typing import Any

import numpy as np

from diffopt.formats.parts import (
    Body,
    Camera,
    Contents,
    Detections,
    Person,
    lens_of_matrices,
    matrices,
    one_shape,
    proper_rotations,
)

FPS = 30.0


def matches(content: Any) -> bool:
    """EMDB's four parts."""
    return isinstance(content, dict) and {"camera", "smpl", "kp2d", "good_frames_mask"} <= content.keys()


def parse(content: Any) -> Contents:
    """The truth, with its camera held as known."""
    smpl, camera = content["smpl"], content["camera"]
    extrinsics = np.asarray(camera["extrinsics"], np.float64)
    count = len(extrinsics)
    frames = np.arange(count)
    good = np.asarray(content["good_frames_mask"]).astype(bool)
    points = np.concatenate([np.asarray(content["kp2d"], np.float64), np.ones((count, 24, 1))], axis=-1)
    body = Body(
        body_pose=matrices(smpl["poses_body"]),
        global_orient=matrices(smpl["poses_root"]),
        position=np.asarray(smpl["trans"], np.float64),
        betas=one_shape(smpl["betas"]),
    )
    person = Person(
        name=str(content.get("name", "truth")),
        frames=frames,
        body=body,
        in_world=True,
        boxes_px=np.asarray(content["bboxes"]["bboxes"], np.float64) if "bboxes" in content else None,
        keypoints=Detections("smpl24", frames[good], points[good]),
    )
    intrinsics = np.tile(np.asarray(camera["intrinsics"], np.float64), (count, 1, 1))
    return Contents(
        truth=person,
        camera=Camera(
            frames,
            proper_rotations(extrinsics[:, :3, :3]),
            extrinsics[:, :3, 3],
            scale="metric",
            trust="known",
            lens=lens_of_matrices(intrinsics),
            gravity_w=np.array([0.0, -1.0, 0.0]),
        ),
        image_size_px=(int(camera["width"]), int(camera["height"])),
        fps=FPS,
        num_frames=count,
        notes={"gender": str(content.get("gender", ""))},
    )
