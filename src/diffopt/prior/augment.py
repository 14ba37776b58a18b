"""Augmentation of motion windows: changes that leave a motion true, and the errors that estimates of it have.

Everything works on a batch of windows at once. The changes of `augment` leave a true motion true: planted feet stay
planted. `corrupt` leaves the truth: it makes a motion look like a per-frame estimate of itself.
"""

import math
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from diffopt.prior.mocap import MotionClip, pose

_OTHER_SIDE = {"left": "right", "right": "left"}
MIRROR = [
    JOINT_INDEX["_".join(_OTHER_SIDE.get(part, part) for part in name.split("_"))] for name in JOINT_NAMES[:BODY_JOINTS]
]
"""For each joint the one on the other side; itself where there is none."""
LIMBS: tuple[tuple[str, ...], ...] = (
    ("left_hip", "left_knee", "left_ankle", "left_foot"),
    ("right_hip", "right_knee", "right_ankle", "right_foot"),
    ("left_collar", "left_shoulder", "left_elbow", "left_wrist"),
    ("right_collar", "right_shoulder", "right_elbow", "right_wrist"),
)
"""The chains that are hidden together when a limb is occluded."""
HIPS = [JOINT_INDEX["left_hip"], JOINT_INDEX["right_hip"]]
LEGS = [JOINT_INDEX[name] for name in LIMBS[0] + LIMBS[1]]
ARMS = [JOINT_INDEX[name] for name in LIMBS[2] + LIMBS[3]]
TRUNK = [joint for joint in range(1, BODY_JOINTS) if joint not in LEGS + ARMS]


@dataclass(frozen=True)
class Windows:
    """A batch of motions of one length; short ones are padded by their last frame, where `valid` is false.

    Attributes:
        rotations: (B, T, 22, 3, 3) local rotations, index 0 the root's in the world.
        root: (B, T, 3) pelvis, world metres, y up.
        offsets: (B, 22, 3) rest skeleton, metres.
        valid: (B, T) frames that exist.
    """

    rotations: Float[Tensor, "B T 22 3 3"]
    root: Float[Tensor, "B T 3"]
    offsets: Float[Tensor, "B 22 3"]
    valid: Bool[Tensor, "B T"]

    def joints(self) -> Float[Tensor, "B T 22 3"]:
        """World positions of the joints, metres."""
        return pose(self.rotations, self.root, self.offsets[:, None])


@dataclass
class Augmentation:
    """How far a window is changed; standard deviations unless said otherwise."""

    slowest: float = 0.8
    fastest: float = 1.2
    """Speeds are drawn between these two, evenly in their logarithm."""
    stature: float = 0.07
    limb: float = 0.05
    """Relative change of the whole body, and of legs, trunk and arms apart."""
    bone_m: float = 0.008
    """Change of each single bone outside the legs, and of where the pelvis joint sits over the hips, metres."""
    rest_deg: float = 4.0
    """Turn of each joint's frame: skeletons differ in what they call the rest pose."""
    tilt_deg: float = 0.7
    """Tilt of the floor."""


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


def gather(
    clips: list[MotionClip],
    starts: Float[Tensor, " B"],
    speeds: Float[Tensor, " B"],
    frames: int,
    fps: float,
) -> Windows:
    """Cut one window out of each clip and resample it.

    Args:
        clips: one per window.
        starts: where in the clip the window begins, seconds.
        speeds: how much faster than in the clip the motion goes.
        frames: length of a window; it is padded where the clip ends first.
        fps: rate of the windows.
    """
    before, after, roots, shares, valid = [], [], [], [], []
    for clip, start, speed in zip(clips, starts.tolist(), speeds.tolist(), strict=True):
        time = (start + torch.arange(frames) * (speed / fps)) * clip.fps
        last = len(clip.root) - 1
        valid.append(time <= last + 1e-3)
        time = time.clamp(max=last)
        row = time.long().clamp(max=max(last - 1, 0))
        next_row, share = (row + 1).clamp(max=last), time - row
        before.append(clip.rotations[row])
        after.append(clip.rotations[next_row])
        roots.append(torch.lerp(clip.root[row], clip.root[next_row], share[:, None]))
        shares.append(share)
    first = torch.stack(before)
    turn = roma.rotmat_to_rotvec(first.mT @ torch.stack(after))
    rotations = first @ roma.rotvec_to_rotmat(torch.stack(shares)[..., None, None] * turn)
    offsets = torch.stack([clip.offsets for clip in clips])
    return Windows(rotations, torch.stack(roots), offsets, torch.stack(valid))


def mirror(windows: Windows, chosen: Bool[Tensor, " B"]) -> Windows:
    """Swap left and right in the chosen windows (a reflection at the plane x = 0)."""
    flip = torch.tensor([-1.0, 1.0, 1.0])
    rotations = windows.rotations[:, :, MIRROR] * flip[:, None] * flip
    return replace(
        windows,
        rotations=torch.where(chosen[:, None, None, None, None], rotations, windows.rotations),
        root=torch.where(chosen[:, None, None], windows.root * flip, windows.root),
        offsets=torch.where(chosen[:, None, None], windows.offsets[:, MIRROR] * flip, windows.offsets),
    )


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
    """Describe the same motion from another rest pose: every joint's frame is turned, no joint moves in space."""
    batch = len(windows.root)
    angle = math.radians(augmentation.rest_deg) / math.sqrt(3)
    turn = roma.rotvec_to_rotmat(angle * torch.randn(batch, BODY_JOINTS, 3, generator=generator))
    # The root's frame is the body's heading and tilt itself; the pelvis keeps it.
    turn[:, 0] = torch.eye(3)
    parents = [0, *PARENTS[1:BODY_JOINTS]]
    offsets = (turn[:, parents].mT @ windows.offsets[..., None]).squeeze(-1)
    rotations = turn[:, None, parents].mT @ windows.rotations @ turn[:, None]
    return replace(windows, rotations=rotations, offsets=offsets)


def tilt_floor(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Turn each window a little about a horizontal axis on the floor under its middle frame."""
    batch, frames = windows.valid.shape
    axis = math.radians(augmentation.tilt_deg) * torch.randn(batch, 3, generator=generator)
    tilt = roma.rotvec_to_rotmat(axis * torch.tensor([1.0, 0.0, 1.0]))
    pivot = windows.root[:, frames // 2, None] * torch.tensor([1.0, 0.0, 1.0])
    rotations = windows.rotations.clone()
    rotations[:, :, 0] = tilt[:, None] @ rotations[:, :, 0]
    return replace(windows, rotations=rotations, root=(windows.root - pivot) @ tilt.mT + pivot)


def augment(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Mirror half of the windows, change bodies, rest poses and floors. Speed is drawn before, by `gather`."""
    windows = mirror(windows, torch.rand(len(windows.root), generator=generator) < 0.5)
    windows = reshape_body(windows, augmentation, generator)
    windows = turn_rest_pose(windows, augmentation, generator)
    return tilt_floor(windows, augmentation, generator)


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
    error = slow.reshape(batch, frames, BODY_JOINTS, 3) * per_joint
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
    root[..., 1] = windows.root[..., 1] + size[:, None] * 0.03 * torch.randn(batch, 1, generator=generator)
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
