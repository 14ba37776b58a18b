"""Augmentation of motion windows: other bodies, sides, speeds, floors. Feet in contact stay so.

Everything works on a batch of windows at once. `corruption` has the changes that do not leave a motion true.
"""

import math
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS
from diffopt.mocap.clip import MotionClip
from diffopt.mocap.retargeting import ARMS, HIPS, LEGS, MIRROR, TRUNK, Windows, approach_skeleton, describe_anew


@dataclass
class Augmentation:
    """How far a window is changed; standard deviations unless said otherwise."""

    slowest: float = 0.8
    fastest: float = 1.2
    """Speeds are drawn between these two, evenly in their logarithm."""
    mirrored: float = 0.5
    """Part of the windows in which left and right are exchanged."""
    stature: float = 0.07
    limb: float = 0.05
    """Relative change of the whole body, and of legs, trunk and arms apart."""
    recombined: float = 0.4
    """Part of the windows that get trunk and arms of another window: what legs do then says more than the style."""
    fitted_body: float = 0.7
    """Part of the windows that go some way towards the skeleton of the body that will be fitted."""
    bone_m: float = 0.008
    """Change of each single bone outside the legs, and of where the pelvis joint sits over the hips, metres."""
    rest_deg: float = 4.0
    """Turn of each joint's frame: skeletons differ in what they call the rest pose."""
    tilt_deg: float = 0.7
    """Tilt of the floor."""


def gather(
    clips: list[MotionClip],
    starts: Float[Tensor, " B"],
    speeds: Float[Tensor, " B"],
    frames: int,
    fps: float,
) -> Windows:
    """Cut one window out of each clip and resample it.

    Args:
        clips: one per window, of two frames or more.
        starts: where in the clip the window begins, seconds.
        speeds: how much faster than in the clip the motion goes.
        frames: length of a window; it is padded where the clip ends first.
        fps: rate of the windows.
    """
    before, turns, roots, shares, valid = [], [], [], [], []
    for clip, start, speed in zip(clips, starts.tolist(), speeds.tolist(), strict=True):
        time = (start + torch.arange(frames) * (speed / fps)) * clip.fps
        last = len(clip.root) - 1
        valid.append(time <= last + 1e-3)
        time = time.clamp(max=last)
        row = time.long().clamp(max=last - 1)
        share = time - row
        before.append(clip.rotations[row])
        turns.append(clip.turns[row])
        roots.append(torch.lerp(clip.root[row], clip.root[row + 1], share[:, None]))
        shares.append(share)
    part_of_turn = roma.rotvec_to_rotmat(torch.stack(shares)[..., None, None] * torch.stack(turns))
    offsets = torch.stack([clip.offsets for clip in clips])
    trusted = torch.stack([clip.trusted for clip in clips])
    return Windows(torch.stack(before) @ part_of_turn, torch.stack(roots), offsets, torch.stack(valid), trusted)


def mirror(windows: Windows, chosen: Bool[Tensor, " B"]) -> Windows:
    """Swap left and right in the chosen windows (a reflection at the plane x = 0)."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    rotations = windows.rotations[:, :, MIRROR] * flip[:, None] * flip
    return replace(
        windows,
        rotations=torch.where(chosen[:, None, None, None, None], rotations, windows.rotations),
        root=torch.where(chosen[:, None, None], windows.root * flip, windows.root),
        offsets=torch.where(chosen[:, None, None], windows.offsets[:, MIRROR] * flip, windows.offsets),
        trusted=torch.where(chosen[:, None], windows.trusted[:, MIRROR], windows.trusted),
    )


def recombine(windows: Windows, share: float, generator: torch.Generator | None = None) -> Windows:
    """Give some windows the trunk and the arms of others, frame by frame; legs, pelvis and path stay their own."""
    batch = len(windows.root)
    chosen = torch.rand(batch, generator=generator) < share
    giver = torch.where(chosen, torch.randperm(batch, generator=generator), torch.arange(batch))
    rotations, offsets, trusted = windows.rotations.clone(), windows.offsets.clone(), windows.trusted.clone()
    upper = TRUNK + ARMS
    rotations[:, :, upper] = windows.rotations[giver][:, :, upper]
    offsets[:, upper] = windows.offsets[giver][:, upper]
    trusted[:, upper] = windows.trusted[giver][:, upper]
    return replace(windows, rotations=rotations, offsets=offsets, trusted=trusted)


def reshape_body(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Give each window another body.

    Legs grow as one, and the path with them, so that feet slide no more than they did; arms, trunk and single bones
    above the hips change freely. The pelvis joint moves against the hips, and the root's path with it.
    """
    batch = len(windows.root)
    draw = lambda *shape: torch.randn(batch, *shape, generator=generator)  # noqa: E731
    stature = torch.exp(augmentation.stature * draw(1, 1))
    legs, arms, trunk = (torch.exp(augmentation.limb * draw(1, 1)) for _ in range(3))
    offsets = windows.offsets * stature
    for joints, scale in ((LEGS, legs), (ARMS, arms), (TRUNK, trunk)):
        offsets[:, joints] = offsets[:, joints] * scale
    root = windows.root * stature * legs
    # Bones keep to the plane of symmetry: what the left side gets, the right side gets reflected.
    free = augmentation.bone_m * draw(BODY_JOINTS, 3)
    free = (free + free[:, MIRROR] * torch.tensor([-1.0, 1.0, 1.0])) / math.sqrt(2)
    free[:, LEGS] = 0
    free[:, 0] = 0
    shift = augmentation.bone_m * draw(1, 3) * torch.tensor([0.0, 2.0, 2.0])
    free[:, HIPS] = shift
    root = root - (windows.rotations[:, :, 0] @ shift[..., None]).squeeze(-1)
    return replace(windows, root=root, offsets=offsets + free)


def turn_rest_pose(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Describe each window from a rest pose of its own."""
    batch = len(windows.root)
    angle = math.radians(augmentation.rest_deg) / math.sqrt(3)
    rotvec = angle * torch.randn(batch, BODY_JOINTS, 3, generator=generator)
    rotvec[:, 0] = 0
    return describe_anew(windows, roma.rotvec_to_rotmat(rotvec))


def tilt_floor(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Turn each window a little about a horizontal axis on the floor under its middle frame."""
    batch, frames = windows.valid.shape
    axis = math.radians(augmentation.tilt_deg) * torch.randn(batch, 3, generator=generator)
    tilt = roma.rotvec_to_rotmat(axis * torch.tensor([1.0, 0.0, 1.0]))
    pivot = windows.root[:, frames // 2, None] * torch.tensor([1.0, 0.0, 1.0])
    rotations = windows.rotations.clone()
    rotations[:, :, 0] = tilt[:, None] @ rotations[:, :, 0]
    return replace(windows, rotations=rotations, root=(windows.root - pivot) @ tilt.mT + pivot)


def augment(
    windows: Windows,
    augmentation: Augmentation,
    skeleton: Float[Tensor, "22 3"],
    generator: torch.Generator | None = None,
) -> Windows:
    """Mirror and recombine some, change bodies, rest poses and floors. Speed is drawn before, by `gather`.

    `skeleton` is that of the body which will be fitted, metres: windows go up to all of the way towards it.
    """
    batch = len(windows.root)
    windows = mirror(windows, torch.rand(batch, generator=generator) < augmentation.mirrored)
    windows = recombine(windows, augmentation.recombined, generator)
    share = torch.rand(batch, generator=generator) * (torch.rand(batch, generator=generator) < augmentation.fitted_body)
    windows = approach_skeleton(windows, skeleton, share.sqrt())
    windows = reshape_body(windows, augmentation, generator)
    windows = turn_rest_pose(windows, augmentation, generator)
    return tilt_floor(windows, augmentation, generator)
