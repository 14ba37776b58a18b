"""The field mimics the initial motion (paper, eq. 5)."""

from jaxtyping import Float
from torch import Tensor

from diffopt.motion.motion import Motion


def articulation_loss(
    body_pose: Float[Tensor, "T 23 3 3"], initial: Float[Tensor, "T 23 3 3"], confidence: Float[Tensor, "T"]
) -> Float[Tensor, ""]:
    """mean_t |f_theta - theta_init|^2, the first term of eq. 5, which stage 2 keeps as well (eq. 6).

    Distances are between rotation matrices (squared Frobenius norm, 2 angle^2 for small angles): axis-angle vectors of
    one rotation can lie a full turn apart.

    Args:
        body_pose: the field's pose.
        initial: the pose to mimic.
        confidence: trust in each initial frame, 0 to 1.

    Returns:
        Mean over frames, rad^2.
    """
    return (confidence * (body_pose - initial).square().sum(dim=(-3, -2, -1))).mean()


def warmup_loss(motion: Motion, initial: Motion, confidence: Float[Tensor, "T"]) -> Float[Tensor, ""]:
    """mean_t |f_theta - theta_init|^2 + |f_phi - phi_init|^2 + |f_x - x_init|^2 (paper, eq. 5).

    Stage 1 minimises it alone (eq. 4), stage 3 with the others (eq. 11).

    Returns:
        Mean over frames, rad^2 + m^2.
    """
    orientation = (motion.global_orient - initial.global_orient).square().sum(dim=(-2, -1))
    position = (motion.transl - initial.transl).square().sum(dim=-1)
    return (
        articulation_loss(motion.body_pose, initial.body_pose, confidence)
        + (confidence * (orientation + position)).mean()
    )
