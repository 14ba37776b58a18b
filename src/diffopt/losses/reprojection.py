"""Projected joints against detected keypoints (paper, eq. 8)."""

import torch
from jaxtyping import Float
from torch import Tensor


def reprojection_loss(
    joints_px: Float[Tensor, "T K 2"],
    keypoints_px: Float[Tensor, "T K 2"],
    confidence: Float[Tensor, "T K"],
    scale_px: Float[Tensor, "T 1"] | float,
) -> Float[Tensor, ""]:
    """L_2D, the robust distance between projected joints and detected keypoints (paper, eq. 8).

    Geman-McClure, r^2 / (r^2 + scale^2): quadratic below `scale_px`, flat above it, so that one wrong detection
    cannot pull the camera.

    Args:
        joints_px: projected joints, pixels.
        keypoints_px: detections, pixels; never read where `confidence` is 0, so NaN may stand there.
        confidence: trust in each detection, 0 to 1.
        scale_px: a residual of this size costs half the ceiling, pixels; of all frames or of each.

    Returns:
        Mean over all T * K detections, dimensionless, in [0, 1).
    """
    # Filled in before the subtraction: a NaN masked out only afterwards still reaches the gradient.
    target = torch.where(confidence[..., None] > 0, keypoints_px, joints_px.detach())
    squared = (joints_px - target).square().sum(dim=-1) / scale_px**2
    return (confidence * squared / (squared + 1)).mean()
