"""The root's velocity that the motion prior expects of an articulation: what the legs say about the path.

A foot in contact alone misses flight: a runner is in the air for a third of each stride, and feet in the air seem to
stand. The prior has seen people run.
"""

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, forward_kinematics
from diffopt.initialisation.options import ExpectedVelocityOptions
from diffopt.motion.foot_contact import StanceOptions
from diffopt.prior.motion_prior import MotionPrior

HOP_FRAMES = 16
"""Windows overlap, and a step's velocity is the mean over the windows that hold it: their ends know less."""
MIN_FRAMES = 10
"""Shorter clips, in frames of the prior, hold no stride."""


@torch.no_grad()
def expected_velocity(
    prior: MotionPrior,
    rotations: Float[Tensor, "T 22 3 3"],
    skeleton: Float[Tensor, "24 3"],
    fps: float,
    stance: StanceOptions,
    options: ExpectedVelocityOptions,
) -> Float[Tensor, "S 3"] | None:
    """Velocity of the root at each of the T - 1 steps between frames.

    Args:
        prior: gives the most likely path of a pose sequence.
        rotations: local rotations of the body joints, index 0 the root's in the world, y up.
        skeleton: each joint from its parent in the rest pose, metres.
        fps: frames per second of `rotations`.
        stance: which feet stand.
        options: how far the prior is believed.

    Returns:
        Metres per second, axes of the world; None if the clip is too short to hold a stride.
    """
    frames = int((len(rotations) - 1) / fps * prior.fps) + 1
    if frames < MIN_FRAMES:
        return None
    place = (torch.arange(frames) / prior.fps * fps).clamp(max=len(rotations) - 1.0)
    before = place.floor().long().clamp_max(len(rotations) - 2)
    turn = roma.rotmat_to_rotvec(rotations[before].mT @ rotations[before + 1])
    resampled = rotations[before] @ roma.rotvec_to_rotmat((place - before)[:, None, None] * turn)
    offsets = torch.cat([torch.zeros(1, 3), skeleton[1:BODY_JOINTS]])
    _, joints = forward_kinematics(resampled, offsets)

    length = min(prior.window + 1, frames)
    last = frames - length
    starts = sorted({*range(0, last, HOP_FRAMES), last})
    windows = torch.stack([torch.arange(start, start + length) for start in starts])
    paths = prior.path_from_articulation(
        resampled[windows], joints[windows], stance, options.doubt_m_s, options.doubt_s
    )
    total, count = torch.zeros(frames - 1, 3), torch.zeros(frames - 1, 1)
    inner = torch.hann_window(length + 1, periodic=False)[1:-1, None].clamp_min(0.05)
    for window, path in zip(windows, paths, strict=True):
        total[window[:-1]] += inner * prior.fps * path.diff(dim=0)
        count[window[:-1]] += inner
    velocity = options.speed_gain * total / count
    # The speed of a while, not of the moment: even runners slow down at every step.
    reach = round(0.5 * options.run_around_s * prior.fps)
    around = torch.nn.functional.avg_pool1d(
        velocity.T[None], 2 * reach + 1, stride=1, padding=reach, count_include_pad=False
    )[0].T
    runs = torch.sigmoid((around[:, [0, 2]].norm(dim=1, keepdim=True) - options.run_m_s) / options.run_blend_m_s)
    velocity = velocity * torch.lerp(torch.ones(()), torch.tensor(options.run_gain), runs)
    # From the middle of the prior's steps to the middle of the video's.
    middle = ((torch.arange(len(rotations) - 1) + 0.5) / fps * prior.fps - 0.5).clamp(0, frames - 2)
    low = middle.floor().long().clamp_max(max(frames - 3, 0))
    high = (low + 1).clamp_max(frames - 2)
    return torch.lerp(velocity[low], velocity[high], (middle - low)[:, None])
