"""GLAMR `grecon/*_seed1.pkl`: bodies in a world with z up and the camera that goes with them.

Convention: `person_data` by person with `smpl_pose` (T, 69), `smpl_beta`, `smpl_orient_world`, `root_trans_world`:
the position of the pelvis joint, *not* smplx's `transl`; `cam_pose` (T, 4, 4) world-to-camera, metres; `cam_K`
(T, 3, 3) of the full frame, assumed by HybrIK (focal 1000); `kp_2d` (T, 26, 2) with `kp_2d_score`, HybrIK's points on
GLAMR's 26 joints; `visible` 1 where the person was detected. 30 frames per second.
"""

from typing import Any

import numpy as np

from diffopt.body.skeleton import JOINT_INDEX
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
JOINTS = {
    0: "pelvis", 1: "left_hip", 2: "right_hip", 4: "left_knee", 5: "right_knee", 6: "neck", 7: "left_ankle",
    8: "right_ankle", 20: "left_shoulder", 21: "right_shoulder", 22: "left_elbow", 23: "right_elbow",
    24: "left_wrist", 25: "right_wrist",
}  # fmt: skip
"""Those of GLAMR's 26 joints that are SMPL's."""


def matches(content: Any) -> bool:
    """`person_data` and `cam_pose`."""
    return isinstance(content, dict) and {"person_data", "cam_pose"} <= content.keys()


def parse(content: Any) -> Contents:
    """All people in the world, with the camera."""
    pose = np.asarray(content["cam_pose"], np.float64)
    people = content["person_data"]
    first = next(iter(people.values()))
    seen = np.asarray(first["cam_K"], np.float64)
    filled = seen[seen[:, 0, 0] > 0][0]  # zeros stand in frames without the person
    lens = lens_of_matrices(np.tile(filled, (len(pose), 1, 1)))
    return Contents(
        people=tuple(_person(str(name), one) for name, one in people.items()),
        camera=Camera(
            np.arange(len(pose)),
            proper_rotations(pose[:, :3, :3]),
            pose[:, :3, 3],
            scale="metric",
            lens=lens,
            gravity_w=np.array([0.0, 0.0, -1.0]),
        ),
        image_size_px=(round(2 * filled[0, 2]), round(2 * filled[1, 2])),
        num_frames=len(pose),
        fps=FPS,
    )


def _person(name: str, one: dict[str, Any]) -> Person:
    visible = np.flatnonzero(np.asarray(one["visible"]) == 1)
    points = np.zeros((len(visible), 24, 3))
    for row, joint in JOINTS.items():
        points[:, JOINT_INDEX[joint], :2] = np.asarray(one["kp_2d"], np.float64)[visible, row]
        points[:, JOINT_INDEX[joint], 2] = np.asarray(one["kp_2d_score"], np.float64)[visible, row]
    return Person(
        name=name,
        frames=visible,
        body=Body(
            body_pose=matrices(np.asarray(one["smpl_pose"])[visible].reshape(-1, 23, 3)),
            global_orient=matrices(np.asarray(one["smpl_orient_world"])[visible]),
            position=np.asarray(one["root_trans_world"], np.float64)[visible],
            betas=one_shape(np.asarray(one["smpl_beta"])[visible]),
            anchor="pelvis",
        ),
        in_world=True,
        keypoints=Detections("smpl24", visible, points),
    )
