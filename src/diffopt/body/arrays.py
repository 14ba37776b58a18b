"""A body model in SMPL format as plain arrays, whatever file it came from."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.observation.keypoint_sets import SURFACE_NAMES


@dataclass(frozen=True)
class BodyArrays:
    """What SMPL's files hold, plus where the detectors' keypoints sit on the body."""

    name: str
    """`free` or `smpl`: motions name the model that their betas belong to."""
    v_template: Float[ndarray, "V 3"]
    """Rest pose of the mean body, metres, y up, facing +z."""
    shapedirs: Float[ndarray, "V 3 10"]
    posedirs: Float[ndarray, "V 3 207"] | None
    """Pose blend shapes; None where the model has none."""
    joint_regressor: Float[ndarray, "24 V"]
    lbs_weights: Float[ndarray, "V 24"]
    faces: Int[ndarray, "F 3"]
    surface_regressor: Float[ndarray, "23 V"]
    """The paper's W: each surface keypoint as a mean of vertices; a row of zeros where `surface_joint` stands in."""
    surface_joint: Int[ndarray, "23"]
    """The SMPL joint that stands for a surface keypoint, or -1 where the regressor gives it."""


# A licensed SMPL file brings no detector regressor. Its own joints stand for the limbs' keypoints; the face and the
# feet are the vertices that smplx appends as joints.
LIMB_JOINTS: dict[str, str] = {
    f"{side}_{part}": f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
}


def surface_from_vertices(
    vertex_ids: dict[str, int], num_vertices: int
) -> tuple[Float[ndarray, "23 V"], Int[ndarray, "23"]]:
    """Surface keypoints of a body without a regressor of its own: single vertices, and joints for the limbs.

    Args:
        vertex_ids: one vertex per surface keypoint that is no limb joint, by our name for it.
        num_vertices: V.

    Returns:
        `surface_regressor` and `surface_joint` as in `BodyArrays`.
    """
    regressor = np.zeros((len(SURFACE_NAMES), num_vertices), np.float64)
    joint = np.full(len(SURFACE_NAMES), -1, np.int64)
    for row, name in enumerate(SURFACE_NAMES):
        if name in LIMB_JOINTS:
            joint[row] = JOINT_INDEX[LIMB_JOINTS[name]]
        else:
            regressor[row, vertex_ids[name]] = 1.0
    return regressor, joint
