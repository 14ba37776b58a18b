"""Motions drawn from the prior alone, for people to look at what it knows."""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS
from diffopt.prior.prior import MotionPrior
from diffopt.prior.sampling import sample_ddim
from diffopt.prior.smpl_features import SLICES, headings_from_yaw_rate, integrate, root_height, root_velocity


@dataclass(frozen=True)
class DrawnMotions:
    """A batch of motions at the prior's rate, each starting above the origin and facing +z.

    Attributes:
        rotations: (B, T, 22, 3, 3) local rotations, index 0 the root's in the world.
        root: (B, T, 3) the pelvis joint, world metres, y up, floor y = 0.
    """

    rotations: Float[Tensor, "B T 22 3 3"]
    root: Float[Tensor, "B T 3"]


def draw(prior: MotionPrior, count: int, frames: int, steps: int, generator: torch.Generator) -> DrawnMotions:
    """Motions from pure noise, by DDIM.

    Args:
        prior: the prior.
        count: B.
        frames: T, at most the prior's window.
        steps: network evaluations, at most the levels of its schedule.
        generator: source of the noise, on the CPU.

    Raises:
        ValueError: more frames than the prior was trained on.
    """
    if not 1 <= frames <= prior.window:
        raise ValueError(f"The prior knows windows of {prior.window} frames, not {frames}. Draw 1 to {prior.window}.")
    noise = torch.randn(count, frames, len(prior.mean), generator=generator).to(prior.mean)
    schedule = prior.schedule.respaced(steps)
    features = sample_ddim(lambda noised, level: prior.denoise(noised, level, level), schedule, noise)
    return motion_from_features(prior.physical(features), prior.fps)


def motion_from_features(features: Float[Tensor, "B T D"], fps: float) -> DrawnMotions:
    """The motion that features describe, in their physical units.

    Rotations come from their own block; positions and velocities of joints, which say the same again, are not read.

    Args:
        features: see `smpl_features.SLICES`.
        fps: frames per second.
    """
    facing = headings_from_yaw_rate(features, fps)
    tilt = roma.special_gramschmidt(features[..., SLICES["tilt"]].unflatten(-1, (3, 2)))
    columns = features[..., SLICES["rotations"]].unflatten(-1, (BODY_JOINTS - 1, 3, 2))
    rotations = torch.cat(((facing @ tilt)[..., None, :, :], roma.special_gramschmidt(columns)), dim=-3)
    # The last step leads beyond the last frame.
    path = integrate(root_velocity(features), facing, fps)[..., :-1, :]
    return DrawnMotions(rotations, torch.stack((path[..., 0], root_height(features), path[..., 2]), dim=-1))
