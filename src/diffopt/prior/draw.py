"""Motions drawn from the prior alone, for people to look at what it knows."""

from dataclasses import dataclass

import roma
import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, PARENTS
from diffopt.geometry.alignment import heading_rotation, nearest_rotation
from diffopt.mocap.clip import pose
from diffopt.motion.foot_contact import StanceOptions, foot_contact, lock_feet
from diffopt.prior.features import (
    SLICES,
    TOE_HEIGHT,
    headings_from_yaw_rate,
    integrate,
    lowest,
    root_height,
    root_velocity,
)
from diffopt.prior.mdm.humanml3d import FEATURES, joints_from_features
from diffopt.prior.mdm.mdm_prior import MdmPrior
from diffopt.prior.motion_prior import MotionPrior
from diffopt.prior.sampling import sample_ddim

SMOOTHING_LEVEL = 0.2
"""Share of the schedule: drawn motions then have twice the jitter of captured ones, instead of five times."""
TWIST_TRUST = 1e-7
"""Weight of the parent's twist against the directions of bones: it decides only what they leave open."""
_LEG = [JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]]


@dataclass(frozen=True)
class DrawnMotions:
    """A batch of motions at the prior's rate, each starting above the origin and facing +z.

    Attributes:
        rotations: (B, T, 22, 3, 3) local rotations, index 0 the root's in the world.
        root: (B, T, 3) the pelvis joint, world metres, y up, floor y = 0.
    """

    rotations: Float[Tensor, "B T 22 3 3"]
    root: Float[Tensor, "B T 3"]


def draw(
    prior: MotionPrior | MdmPrior,
    count: int,
    frames: int,
    steps: int,
    generator: torch.Generator,
    offsets: Float[Tensor, "22 3"],
) -> DrawnMotions:
    """Motions from pure noise, by DDIM.

    Samples of our own network have jitter and slide: they are smoothed (`smoothed_by_linear_estimate`) and put on the
    path on which their feet stand (`on_path_of_feet`). A published MDM draws joints, which say the poses.

    Args:
        prior: the prior.
        count: B.
        frames: T, at most the prior's window.
        steps: network evaluations, at most the levels of its schedule.
        generator: source of the noise, on the CPU.
        offsets: each joint from its parent in the rest pose, metres, of the body that is to take the poses.

    Raises:
        ValueError: more frames than the prior was trained on.
    """
    if not 2 <= frames <= prior.window:
        raise ValueError(f"The prior knows windows of {prior.window} frames, not {frames}. Draw 2 to {prior.window}.")
    size = FEATURES if isinstance(prior, MdmPrior) else len(prior.mean)
    noise = torch.randn(count, frames, size, generator=generator).to(prior.schedule.alpha)
    drawn = sample_ddim(
        lambda noised, level: prior.denoise(noised, level, level), prior.schedule.respaced(steps), noise
    )
    if isinstance(prior, MdmPrior):
        return motion_from_joints(joints_from_features(prior.normalization.denormalize(drawn)), offsets)
    features = prior.physical(smoothed_by_linear_estimate(prior, drawn))
    return on_path_of_feet(motion_from_features(features, prior.fps), features, prior.fps, offsets)


def smoothed_by_linear_estimate(prior: MotionPrior, drawn: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """Drawn features less what is too fast, or in too odd a direction, to be motion: their best linear estimate, as if
    they had the noise of `SMOOTHING_LEVEL` of the schedule."""
    level = int(SMOOTHING_LEVEL * (prior.schedule.num_steps - 1))
    alpha, sigma = (
        table[level].expand(len(drawn), drawn.shape[-1]) for table in (prior.schedule.alpha, prior.schedule.sigma)
    )
    return prior.denoiser.linear(alpha[0, 0] * drawn, alpha, sigma)


def on_path_of_feet(
    motion: DrawnMotions, features: Float[Tensor, "B T D"], fps: float, offsets: Float[Tensor, "22 3"]
) -> DrawnMotions:
    """The same poses on the path on which their feet stand.

    Features say how fast the foot in contact goes and say how the body is posed, and drawn ones contradict themselves:
    of the path only the residual over the foot in contact and the clearance are kept, the foot itself is that of the
    poses.

    Args:
        motion: drawn motions.
        features: those that they were made from, in physical units.
        fps: frames per second.
        offsets: each joint from its parent in the rest pose, metres.
    """
    relative = pose(motion.rotations, torch.zeros_like(motion.root), offsets)
    facing = heading_rotation(motion.rotations[:, :-1, 0])
    residual = (facing @ features[:, :-1, SLICES["velocity_residual"], None]).squeeze(-1)
    velocity = lock_feet(foot_contact(relative, fps).velocity + residual, relative, fps, StanceOptions())
    path = torch.cat((motion.root[:, :1], motion.root[:, :1] + (velocity / fps).cumsum(dim=1)), dim=1)
    height = features[..., SLICES["clearance"]].squeeze(-1) - lowest(relative[..., 1]) + TOE_HEIGHT
    return DrawnMotions(motion.rotations, torch.stack((path[..., 0], height, path[..., 2]), dim=-1))


def motion_from_features(features: Float[Tensor, "B T D"], fps: float) -> DrawnMotions:
    """The motion that features describe, in their physical units.

    Rotations come from their own block; positions and velocities of joints, which say the same again, are not read.

    Args:
        features: see `smpl_features.SLICES`.
        fps: frames per second.
    """
    facing = headings_from_yaw_rate(features, fps)
    of_root, of_joints = features[..., SLICES["tilt"]], features[..., SLICES["rotations"]]
    tilt = roma.special_gramschmidt(rearrange(of_root, "... (row column) -> ... row column", column=2))
    columns = rearrange(of_joints, "... (joint row column) -> ... joint row column", row=3, column=2)
    rotations = torch.cat(((facing @ tilt)[..., None, :, :], roma.special_gramschmidt(columns)), dim=-3)
    # The last step leads beyond the last frame.
    path = integrate(root_velocity(features), facing, fps)[..., :-1, :]
    return DrawnMotions(rotations, torch.stack((path[..., 0], root_height(features), path[..., 2]), dim=-1))


def motion_from_joints(joints: Float[Tensor, "B T 22 3"], offsets: Float[Tensor, "22 3"]) -> DrawnMotions:
    """A body whose bones point as those between given joints do.

    How a bone twists about itself, joints do not say: it twists as its parent does. The path is as much longer as the
    legs are, and the lowest joint as high over the floor as it was.

    Args:
        joints: of anybody, world metres, y up, floor y = 0.
        offsets: each joint from its parent in the rest pose, metres, of the body that is to take the poses.
    """
    joints, rest = joints.double(), offsets.double()
    world: list[Tensor] = []
    for joint in range(BODY_JOINTS):
        children = [child for child in range(BODY_JOINTS) if PARENTS[child] == joint]
        above = world[PARENTS[joint]] if joint else torch.eye(3).to(joints).expand(*joints.shape[:2], 3, 3)
        bones = joints[..., children, :] - joints[..., joint, None, :]
        world.append(nearest_rotation(bones.mT @ rest[children] + TWIST_TRUST * above))
    local = [world[0], *(world[PARENTS[joint]].mT @ world[joint] for joint in range(1, BODY_JOINTS))]
    rotations = torch.stack(local, dim=-3)
    shins = joints[..., _LEG, :] - joints[..., [PARENTS[joint] for joint in _LEG], :]
    path = joints[..., 0, :] * rest[_LEG].norm(dim=-1).sum() / shins.norm(dim=-1).sum(dim=-1).mean(dim=1)[:, None, None]
    below = pose(rotations, torch.zeros_like(path), rest)[..., 1].amin(dim=-1)
    root = torch.stack((path[..., 0], joints[..., 1].amin(dim=-1) - below + TOE_HEIGHT, path[..., 2]), dim=-1)
    return DrawnMotions(rotations.float(), root.float())
