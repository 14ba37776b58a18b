"""What the default recipe adds to the paper's losses: feet in contact, and corrections that stay small and smooth."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.motion.correction import CameraCorrection


def foot_sliding_loss(
    feet: Float[Tensor, "T F 3"],
    fps: float,
    height_m: float,
    speed_m_s: float,
) -> Float[Tensor, ""]:
    """Feet that are down and nearly still should be quite still.

    A foot's trust in being in contact falls with its height over the floor; Geman-McClure on its speed leaves a
    swinging foot that passes low alone.

    Args:
        feet: points on the soles in the world, y up, floor y = 0, metres.
        fps: frames per second.
        height_m: a point this far above the floor counts half.
        speed_m_s: a point in contact as fast as this costs half the ceiling, metres per second.

    Returns:
        Mean over frames and points, in [0, 1).
    """
    velocity = (feet[1:] - feet[:-1]) * fps
    height = 0.5 * (feet[1:, :, 1] + feet[:-1, :, 1]).detach().clamp_min(0.0)
    contact = 1.0 / (1.0 + (height / height_m) ** 2)
    squared = velocity.square().sum(dim=-1) / speed_m_s**2
    return (contact * squared / (squared + 1.0)).mean()


def floor_loss(feet: Float[Tensor, "T F 3"], fps: float, height_m: float, speed_m_s: float) -> Float[Tensor, ""]:
    """Feet that stand, stand on the floor; no foot sinks into it.

    Geman-McClure on the height of points that are nearly still, so that who stands on a step or a beam is left there;
    plus the depth of points below the floor, squared near it and linear far below, lest a floor found too high throw
    the body up.

    Args:
        feet: points on the soles in the world, y up, floor y = 0, metres.
        fps: frames per second.
        height_m: a still point this high costs half the ceiling; depth is linear beyond it.
        speed_m_s: a point as fast as this counts half.

    Returns:
        Mean over frames and points, dimensionless.
    """
    speed = ((feet[1:] - feet[:-1]) * fps).norm(dim=-1).detach()
    still = 1.0 / (1.0 + (speed / speed_m_s) ** 2)
    squared = (feet[1:, :, 1] / height_m).square()
    depth = ((feet[..., 1] / height_m).clamp_max(0.0).square() + 1.0).sqrt().mean() - 1.0
    return (still * squared / (squared + 1.0)).mean() + depth


def correction_size_loss(
    correction: CameraCorrection,
    rotation_scale: float,
    translation_scale_m: float,
    ratio_scale: float,
) -> Float[Tensor, ""]:
    """How far the corrected camera is from the given one, in units of what is plausible.

    Args:
        correction: b_R, s_t, b_t, s_f.
        rotation_scale: plausible size of b_R (about radians).
        translation_scale_m: plausible size of b_t, metres.
        ratio_scale: plausible departure of s_t and s_f from 1.

    Returns:
        Sum of the mean squared sizes, dimensionless.
    """
    return (
        (correction.rotation_bias_6d / rotation_scale).square().sum(dim=(-2, -1)).mean()
        + (correction.translation_bias / translation_scale_m).square().sum(dim=-1).mean()
        + ((correction.translation_scale - 1) / ratio_scale).square().mean()
        + ((correction.focal_scale - 1) / ratio_scale).square().mean()
    )


def correction_roughness_loss(
    correction: CameraCorrection,
    fps: float,
    rotation_scale: float,
    translation_scale_m_s2: float,
    ratio_scale: float,
) -> Float[Tensor, ""]:
    """How fast the corrections' speed changes: drift is slow, so a correction with jitter explains noise.

    Args:
        correction: b_R, s_t, b_t, s_f.
        fps: frames per second.
        rotation_scale: plausible second derivative of b_R, 1/s^2.
        translation_scale_m_s2: plausible second derivative of b_t, m/s^2.
        ratio_scale: plausible second derivative of s_t and of a focal scale per frame, 1/s^2.

    Returns:
        Sum of the mean squared second derivatives, dimensionless.
    """
    total = correction.translation_bias.new_zeros(())
    for values, scale in (
        (correction.rotation_bias_6d, rotation_scale),
        (correction.translation_bias, translation_scale_m_s2),
        (correction.translation_scale, ratio_scale),
        (correction.focal_scale, ratio_scale),
    ):
        if len(values) > 2:
            second = (values[2:] - 2 * values[1:-1] + values[:-2]) * fps**2
            total = total + (second / scale).square().flatten(start_dim=1).sum(dim=1).mean()
    return total


def acceleration_loss(joints: Float[Tensor, "T J 3"], fps: float, scale_m_s2: float) -> Float[Tensor, ""]:
    """Bodies have mass: mean squared acceleration of the joints, in units of `scale_m_s2`, robust to real impacts."""
    second = (joints[2:] - 2 * joints[1:-1] + joints[:-2]) * fps**2
    squared = second.square().sum(dim=-1) / scale_m_s2**2
    return torch.log1p(squared).mean()
