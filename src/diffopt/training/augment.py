"""Augmentation of motion windows: other bodies, sides, speeds, floors. Planted feet stay planted.

Everything works on a batch of windows at once. `corruption` has the changes that do not leave a motion true.
"""

import math
from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from diffopt.geometry.alignment import shortest_turn
from diffopt.mocap.clips import MotionClip, pose

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
SPINE = [JOINT_INDEX[name] for name in ("spine1", "spine2", "spine3", "neck")]
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


def recombine(windows: Windows, share: float, generator: torch.Generator | None = None) -> Windows:
    """Give some windows the trunk and the arms of others, frame by frame; legs, pelvis and path stay their own."""
    batch = len(windows.root)
    chosen = torch.rand(batch, generator=generator) < share
    giver = torch.where(chosen, torch.randperm(batch, generator=generator), torch.arange(batch))
    rotations, offsets = windows.rotations.clone(), windows.offsets.clone()
    upper = TRUNK + ARMS
    rotations[:, :, upper] = windows.rotations[giver][:, :, upper]
    offsets[:, upper] = windows.offsets[giver][:, upper]
    return replace(windows, rotations=rotations, offsets=offsets)


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


def describe_anew(windows: Windows, turn: Float[Tensor, "B 22 3 3"]) -> Windows:
    """Describe the same motion from another rest pose: every joint's frame is turned, no joint moves in space.

    The root's frame is the body's heading and tilt itself; its `turn` must be the identity.
    """
    parents = [0, *PARENTS[1:BODY_JOINTS]]
    offsets = (turn[:, parents].mT @ windows.offsets[..., None]).squeeze(-1)
    rotations = turn[:, None, parents].mT @ windows.rotations @ turn[:, None]
    return replace(windows, rotations=rotations, offsets=offsets)


def turn_rest_pose(windows: Windows, augmentation: Augmentation, generator: torch.Generator | None = None) -> Windows:
    """Describe each window from a rest pose of its own."""
    batch = len(windows.root)
    angle = math.radians(augmentation.rest_deg) / math.sqrt(3)
    rotvec = angle * torch.randn(batch, BODY_JOINTS, 3, generator=generator)
    rotvec[:, 0] = 0
    return describe_anew(windows, roma.rotvec_to_rotmat(rotvec))


def approach_skeleton(windows: Windows, target: Float[Tensor, "22 3"], share: Float[Tensor, " B"]) -> Windows:
    """Bring each window part of the way, `share` from 0 to 1, to another skeleton.

    Skeletons disagree on how legs and arms point at rest, on how the trunk leans over the pelvis, and on where the
    pelvis joint lies over the hips. Limbs are described anew (they move nowhere); bones above the hips change, and the
    pelvis turns so that the trunk leans as it did; the pelvis joint, and the path with it, moves along the mid-plane.
    So feet stand where they stood and nobody topples.
    """
    children = [[c for c in range(BODY_JOINTS) if PARENTS[c] == joint] for joint in range(BODY_JOINTS)]
    single = [joint for joint in range(1, BODY_JOINTS) if len(children[joint]) == 1]
    bones = [children[joint][0] for joint in single]
    here = windows.offsets[:, bones]
    rotvec = torch.zeros_like(windows.offsets)
    rotvec[:, single] = -share[:, None, None] * shortest_turn(here, target[bones].expand_as(here))
    anew = roma.rotvec_to_rotmat(rotvec)
    trunk = _rest_trunk(windows.offsets, torch.eye(3).expand_as(anew))
    windows = describe_anew(windows, anew)

    offsets = windows.offsets.clone()
    size = offsets[:, LEGS].norm(dim=-1).sum(dim=-1) / target[LEGS].norm(dim=-1).sum()
    wanted = size[:, None, None] * target
    upper = TRUNK + ARMS
    offsets[:, upper] = torch.lerp(offsets[:, upper], wanted[:, upper], share[:, None, None])
    shift = share[:, None] * (wanted[:, HIPS] - offsets[:, HIPS]).mean(dim=1) * torch.tensor([0.0, 1.0, 1.0])
    offsets[:, HIPS] = offsets[:, HIPS] + shift[:, None]
    turn = _nod(trunk, _rest_trunk(offsets, anew))[:, None]
    rotations = windows.rotations.clone()
    rotations[:, :, 0] = windows.rotations[:, :, 0] @ turn
    rotations[:, :, HIPS] = turn[:, None].mT @ windows.rotations[:, :, HIPS]
    before, after = (bones[:, None, HIPS].mean(dim=2)[..., None] for bones in (windows.offsets, offsets))
    root = windows.root + (windows.rotations[:, :, 0] @ before - rotations[:, :, 0] @ after).squeeze(-1)
    return replace(windows, rotations=rotations, root=root, offsets=offsets)


def _rest_trunk(offsets: Float[Tensor, "B 22 3"], frames: Float[Tensor, "B 22 3 3"]) -> Float[Tensor, "B 3"]:
    """From between the hips to the neck, in the frame of the pelvis, while the joints' frames stand as given."""
    parents = [PARENTS[joint] for joint in SPINE]
    bones = (frames[:, parents] @ offsets[:, SPINE, :, None]).squeeze(-1)
    return bones.sum(dim=1) - offsets[:, HIPS].mean(dim=1)


def _nod(before: Float[Tensor, "B 3"], after: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 3"]:
    """The turn of the pelvis about its left-right axis that leans the trunk as it leant before."""
    lean = [torch.atan2(trunk[:, 2], trunk[:, 1]) for trunk in (before, after)]
    angle = lean[0] - lean[1]
    return roma.rotvec_to_rotmat(torch.stack([angle, 0 * angle, 0 * angle], dim=-1))


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
