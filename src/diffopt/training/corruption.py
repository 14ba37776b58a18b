"""The errors that estimates of a motion have: training shows them to the prior, so that it learns to mend them."""

import math
from dataclasses import dataclass, replace

import roma
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX
from diffopt.mocap.retargeting import LIMBS, Windows

HEIGHT_M = 0.03
"""Constant error of the root's height in a window of mean noise, metres."""


@dataclass
class PoseNoise:
    """Errors of a per-frame estimate. Each window draws its own size between 0 and twice the mean given here."""

    share: float = 0.6
    """Part of the windows that are corrupted; the others stay clean."""
    joint_deg: float = 6.0
    root_deg: float = 3.0
    """Slowly varying error of every joint, and of the root's orientation: length of the rotation vector, RMS."""
    bias_deg: float = 3.0
    """Constant error of every joint."""
    jitter_deg: float = 0.7
    """Error that is new in every frame."""
    fastest_seconds: float = 0.1
    slowest_seconds: float = 0.8
    """Width of the kernel that correlates the error in time, drawn between these two."""
    occlusion: float = 0.25
    occlusion_seconds: float = 0.8
    """Chance that a limb stands still in its hidden span of a window, and the longest such span."""
    velocity: float = 0.3
    """Error of the root's velocity: relative in size, and as much in metres per second added to it."""


def correlated_noise(
    batch: int,
    frames: int,
    channels: int,
    seconds: Float[Tensor, " B"],
    fps: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B T C"]:
    """Gaussian noise of unit variance, smooth in time: white noise under a Gaussian kernel `seconds` wide."""
    # Twice the length, so that the ends of the circular convolution do not meet.
    padded = 2 * frames
    frequency = torch.fft.rfftfreq(padded, 1 / fps)
    response = torch.exp(-0.5 * (2 * math.pi * frequency * seconds[:, None]) ** 2)
    full = torch.cat((response, response[:, 1 : (padded + 1) // 2].flip(1)), dim=1)
    response = response / full.square().mean(dim=1, keepdim=True).sqrt()
    white = torch.randn(batch, padded, channels, generator=generator)
    return torch.fft.irfft(torch.fft.rfft(white, dim=1) * response[..., None], n=padded, dim=1)[:, :frames]


def corrupt(windows: Windows, noise: PoseNoise, fps: float, generator: torch.Generator | None = None) -> Windows:
    """What a per-frame estimator would have made of the motion; `noise.share` says how many windows it touches.

    Rotations get a constant, a slow and a fast error and hidden limbs, the path another speed and a slow drift.
    """
    batch, frames = windows.valid.shape
    chosen = torch.rand(batch, generator=generator) < noise.share
    size = chosen * 2 * torch.rand(batch, generator=generator)
    spread = math.log(noise.slowest_seconds / noise.fastest_seconds)
    seconds = noise.fastest_seconds * torch.exp(spread * torch.rand(batch, generator=generator))
    per_joint = torch.full((BODY_JOINTS, 1), math.radians(noise.joint_deg))
    per_joint[0] = math.radians(noise.root_deg)
    slow = correlated_noise(batch, frames, BODY_JOINTS * 3, seconds, fps, generator)
    error = rearrange(slow, "b t (joint xyz) -> b t joint xyz", xyz=3) * per_joint
    constant = torch.randn(batch, 1, BODY_JOINTS, 3, generator=generator) * math.radians(noise.bias_deg)
    constant = constant * per_joint / per_joint.max()
    jitter = torch.randn(batch, frames, BODY_JOINTS, 3, generator=generator) * math.radians(noise.jitter_deg)
    rotvec = size[:, None, None, None] / math.sqrt(3) * (error + constant + jitter)
    rotations = hide_limbs(windows.rotations, chosen, noise, fps, generator) @ roma.rotvec_to_rotmat(rotvec)

    step = torch.diff(windows.root, dim=1)
    drift = correlated_noise(batch, frames - 1, 3, seconds, fps, generator) * (noise.velocity / fps)
    gain = torch.exp(size[:, None, None] * noise.velocity * torch.randn(batch, 1, 1, generator=generator))
    path = torch.cumsum(gain * step + size[:, None, None] * drift, dim=1)
    root = torch.cat((windows.root[:, :1], windows.root[:, :1] + path), dim=1)
    # Height is not dead reckoned: an estimate stands on the floor, give or take.
    root[..., 1] = windows.root[..., 1] + size[:, None] * HEIGHT_M * torch.randn(batch, 1, generator=generator)
    return replace(windows, rotations=rotations, root=root)


def hide_limbs(
    rotations: Float[Tensor, "B T 22 3 3"],
    chosen: Bool[Tensor, " B"],
    noise: PoseNoise,
    fps: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B T 22 3 3"]:
    """Freeze limbs for a while, as estimators do with what they cannot see."""
    batch, frames = rotations.shape[:2]
    longest = max(1, round(noise.occlusion_seconds * fps))
    time = torch.arange(frames).expand(batch, frames)
    rotations = rotations.clone()
    for limb in LIMBS:
        hidden = chosen & (torch.rand(batch, generator=generator) < noise.occlusion)
        start = torch.randint(frames, (batch, 1), generator=generator)
        stop = start + torch.randint(1, longest + 1, (batch, 1), generator=generator)
        source: Int[Tensor, "B T"] = torch.where(hidden[:, None] & (time >= start) & (time < stop), start, time)
        joints = [JOINT_INDEX[name] for name in limb]
        rotations[:, :, joints] = rotations[torch.arange(batch)[:, None], source][:, :, joints]
    return rotations
