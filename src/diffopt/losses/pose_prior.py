"""The ablation "a pose prior instead of the motion prior": each frame's pose should be one that people take."""

from jaxtyping import Float
from torch import Tensor

from diffopt.prior.pose_prior import POSE_JOINTS, PosePrior


def pose_prior_loss(prior: PosePrior, body_pose: Float[Tensor, "T J 3 3"]) -> Float[Tensor, ""]:
    """How far the poses' codes are from the mean pose, |z|^2 (SMPLify-X, Pavlakos et al., 2019, E_theta).

    Knows nothing of time, of the root or of the world.

    Args:
        prior: the frozen pose prior.
        body_pose: local rotations of the joints below the root; SMPL's two hands, if there, are not looked at.

    Returns:
        Mean over frames of the squared length of the code, dimensionless; about the number of its entries for motion
        like that which the prior was trained on.
    """
    code, _ = prior.encode(body_pose[:, :POSE_JOINTS])
    return code.square().sum(dim=-1).mean()
