"""A body model in SMPL format as plain arrays, whatever file it came from."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from numpy import ndarray


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
    """The paper's W: each surface keypoint (`SURFACE_NAMES`) as a mean of vertices."""
