"""HumanML3D's 263 numbers per frame, the motion features that published MDM checkpoints were trained on.

Source: Guo et al., Generating Diverse and Natural 3D Human Motions from Text (2022). Everything is differentiable in
the joints and equal to the original conversion, mistakes included: a network that learnt from those features has to
be asked with those features. Metres, y up, 20 frames per second, the first 22 joints of SMPL.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
import roma
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, PARENTS
from diffopt.device import axes, once_per_device, rows

FPS = 20.0
FEATURES = 263
BLOCKS: dict[str, slice] = {
    "root_rotation_velocity": slice(0, 1),
    "root_linear_velocity": slice(1, 3),
    "root_height": slice(3, 4),
    "joint_positions": slice(4, 67),
    "joint_rotations_6d": slice(67, 193),
    "joint_velocities": slice(193, 259),
    "foot_contacts": slice(259, 263),
}
"""Where each block stands in a frame's features. Units: half radians, metres per frame, metres, metres, none, metres
per frame, 0 or 1. The rotation velocity is half an angle because the original keeps a quaternion's sine."""

CONTACT_JOINTS: tuple[str, ...] = ("left_ankle", "left_foot", "right_ankle", "right_foot")
CONTACT_STEP2_M2 = 0.002
"""A foot that moves less than the root of this in one frame counts as in contact, m^2."""
HEADING_SIGMA_FRAMES = 20
HEADING_RADIUS_FRAMES = 80

# Direction of each joint from its parent in HumanML3D's rest pose; the root's is never used.
_REST_DIRECTIONS = (
    (0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, -1, 0), (0, 1, 0), (0, -1, 0), (0, -1, 0), (0, 1, 0),
    (0, 0, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, -1, 0), (0, -1, 0), (0, -1, 0), (0, -1, 0),
    (0, -1, 0), (0, -1, 0),
)  # fmt: skip


class Normalization(nn.Module):
    """Features to zero mean and unit deviation, as the checkpoints see them, and back.

    Args:
        mean, std: one number per feature, in the features' own units.
    """

    mean: Float[Tensor, "D"]
    std: Float[Tensor, "D"]

    def __init__(self, mean: Float[Tensor, "D"], std: Float[Tensor, "D"]) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape or not (std > 0).all():
            raise ValueError(
                f"Feature statistics have shapes {tuple(mean.shape)} and {tuple(std.shape)} and a smallest deviation "
                f"of {std.min():.3g}. Pass a mean and a positive deviation for each feature."
            )
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @classmethod
    def humanml3d(cls) -> "Normalization":
        """HumanML3D's published Mean.npy and Std.npy, those that MDM is trained with."""
        assets = _assets()
        return cls(assets["mean"], assets["std"])

    @classmethod
    def load(cls, mean_path: str | Path, std_path: str | Path) -> "Normalization":
        """Statistics of a user's own training set, two `.npy` vectors."""
        mean, std = (torch.from_numpy(np.load(path, allow_pickle=False)).float() for path in (mean_path, std_path))
        return cls(mean, std)

    def normalize(self, features: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        return (features - self.mean) / self.std

    def denormalize(self, normalized: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        return normalized * self.std + self.mean


def features_from_joints(
    joints: Float[Tensor, "*B T 22 3"],
    mode: Literal["strict", "fixed"] = "strict",
) -> Float[Tensor, "*B T-1 263"]:
    """A person's joints as HumanML3D features: of its canonical skeleton, standing on the floor, setting out along z.

    Args:
        joints: positions in a world with y up, metres, 20 frames per second; the first 22 joints of SMPL.
        mode: `strict` equals the original scripts. There, turning through the direction opposite to the first frame's
            flips the sign of that frame's rotation velocity, and all that follows is then rebuilt askew; `fixed` mends
            this and nothing else.

    Returns:
        Un-normalised features, one frame fewer than joints since velocities need two. Foot contacts are 0 or 1 and
        pass no gradient.

    Raises:
        ValueError: fewer than two frames, or an unknown mode.
    """
    if mode not in ("strict", "fixed"):
        raise ValueError(f"Unknown feature mode '{mode}'. Use 'strict' (the original scripts) or 'fixed'.")
    if joints.shape[-3] < 2:
        raise ValueError(f"{joints.shape[-3]} frame of joints has no velocity. Pass at least 2 frames.")
    joints = face_forward(canonical_skeleton(joints))
    heading = _smoothed_heading(joints)
    turn = _half_turns(heading, mode)

    root = joints[..., 0, :]
    root_step = _rotate_about_y(heading[..., 1:], root[..., 1:, :] - root[..., :-1, :])
    local = torch.stack(
        (joints[..., 0] - root[..., None, 0], joints[..., 1], joints[..., 2] - root[..., None, 2]), dim=-1
    )
    local = _rotate_about_y(heading[..., None], local)
    rotations = _joint_rotations_6d(joints, heading)
    steps = joints[..., 1:, :, :] - joints[..., :-1, :, :]
    # Turned by the heading of the frame left, while the root's own step is turned by that of the frame reached.
    local_steps = _rotate_about_y(heading[..., :-1, None], steps)
    feet = steps.index_select(-2, rows([JOINT_INDEX[name] for name in CONTACT_JOINTS], steps.device))
    contacts = (feet.square().sum(dim=-1) < CONTACT_STEP2_M2).to(joints.dtype)
    return torch.cat(
        (
            turn[..., None],
            root_step[..., ::2],
            root[..., :-1, 1:2],
            rearrange(local[..., :-1, 1:, :], "... joint xyz -> ... (joint xyz)"),
            rearrange(rotations[..., :-1, :, :], "... joint six -> ... (joint six)"),
            rearrange(local_steps, "... joint xyz -> ... (joint xyz)"),
            contacts,
        ),
        dim=-1,
    )


def joints_from_features(features: Float[Tensor, "*B F 263"]) -> Float[Tensor, "*B F 22 3"]:
    """Joints that un-normalised features describe, from the root's velocities and the joints' local positions.

    Returns:
        Metres, y up, the root starting above the origin and facing along z.
    """
    turn = features[..., BLOCKS["root_rotation_velocity"]].squeeze(-1)
    heading = 2 * _integrate(turn)
    step_x, step_z = features[..., BLOCKS["root_linear_velocity"]].unbind(dim=-1)
    step = torch.stack((step_x, torch.zeros_like(step_x), step_z), dim=-1)
    # The step away from a frame is written in the heading of the frame that it reaches.
    arrived = _rotate_about_y(-heading[..., 1:], step[..., :-1, :])
    path = torch.cat((torch.zeros_like(step[..., :1, :]), arrived), dim=-2).cumsum(dim=-2)

    height = features[..., BLOCKS["root_height"]]
    local = rearrange(features[..., BLOCKS["joint_positions"]], "... (joint xyz) -> ... joint xyz", xyz=3)
    others = _rotate_about_y(-heading[..., None], local) + path[..., None, :]
    root = torch.cat((path[..., :1], height, path[..., 2:]), dim=-1)
    return torch.cat((root[..., None, :], others), dim=-2)


def canonical_skeleton(joints: Float[Tensor, "*B T 22 3"]) -> Float[Tensor, "*B T 22 3"]:
    """The same bone directions on HumanML3D's bone lengths, the root's path scaled by the legs of the first frame."""
    lengths = _bone_lengths(like=joints)
    knee, ankle = JOINT_INDEX["right_knee"], JOINT_INDEX["right_ankle"]
    legs = sum((joints[..., 0, joint, :] - joints[..., 0, PARENTS[joint], :]).norm(dim=-1) for joint in (knee, ankle))
    scale = (lengths[knee] + lengths[ankle]) / legs
    moved = [joints[..., 0, :] * scale[..., None, None]]
    for joint in range(1, BODY_JOINTS):
        direction = F.normalize(joints[..., joint, :] - joints[..., PARENTS[joint], :], dim=-1)
        moved.append(moved[PARENTS[joint]] + lengths[joint] * direction)
    return torch.stack(moved, dim=-2)


def face_forward(joints: Float[Tensor, "*B T J 3"]) -> Float[Tensor, "*B T J 3"]:
    """Move a clip as a whole: lowest joint at y = 0, first root above the origin, first frame facing along z."""
    first = joints[..., 0, :, :]
    to_the_right = _between(first, "left_hip", "right_hip") + _between(first, "left_shoulder", "right_shoulder")
    floor = joints[..., 1].amin(dim=(-2, -1))
    shift = torch.stack((first[..., 0, 0], floor, first[..., 0, 2]), dim=-1)
    return _rotate_about_y(_heading(to_the_right)[..., None, None], joints - shift[..., None, None, :])


def _smoothed_heading(joints: Float[Tensor, "*B T 22 3"]) -> Float[Tensor, "*B T"]:
    """Angle about y that turns each frame to face z, radians in (-pi, pi]; strictly as the original has it."""
    # The original swaps the two hips here, so that they point left while the shoulders point right. The shoulders, the
    # wider pair, win; a twist between hips and shoulders turns the heading away from the chest.
    to_the_right = _between(joints, "right_hip", "left_hip") + _between(joints, "left_shoulder", "right_shoulder")
    to_the_right = F.normalize(to_the_right, dim=-1)
    frames = torch.arange(-HEADING_RADIUS_FRAMES, HEADING_RADIUS_FRAMES + 1, dtype=joints.dtype, device=joints.device)
    weights = torch.exp(-0.5 * (frames / HEADING_SIGMA_FRAMES) ** 2)
    frames_last = to_the_right.movedim(-2, -1).reshape(-1, 1, joints.shape[-3])
    padded = F.pad(frames_last, (HEADING_RADIUS_FRAMES, HEADING_RADIUS_FRAMES), mode="replicate")
    smooth = F.conv1d(padded, (weights / weights.sum())[None, None])
    smooth = smooth.reshape(*to_the_right.shape[:-2], 3, -1).movedim(-1, -2)
    heading = _heading(smooth)
    # The original declares the first frame to face z, whatever its smoothed heading.
    return torch.cat((torch.zeros_like(heading[..., :1]), heading[..., 1:]), dim=-1)


def _half_turns(heading: Float[Tensor, "*B T"], mode: Literal["strict", "fixed"]) -> Float[Tensor, "*B T-1"]:
    """Half the turn from each frame to the next, radians."""
    half = (heading[..., 1:] - heading[..., :-1]) / 2
    folded = torch.where(half.abs() > torch.pi / 2, torch.pi * half.sign() - half, half)
    # An arc sine of the quaternion's sine, as in the original, cannot tell a half turn h from pi - h.
    return folded if mode == "strict" else torch.where(half.abs() > torch.pi / 2, -folded, half)


def _joint_rotations_6d(
    joints: Float[Tensor, "*B T 22 3"], heading: Float[Tensor, "*B T"]
) -> Float[Tensor, "*B T 21 6"]:
    """Each bone's shortest rotation from its rest direction, relative to the bone before it; first two columns."""
    root = _turn_about_y(heading)
    # Both collars count from the root: the original starts a new chain there and forgets the spine below.
    starts = {joint for joint in range(1, BODY_JOINTS) if PARENTS[joint] == 0}
    starts |= {JOINT_INDEX["left_collar"], JOINT_INDEX["right_collar"]}
    world, local = {}, []
    rest = _rest_directions(like=joints)
    for joint in range(1, BODY_JOINTS):
        parent = PARENTS[joint]
        world[joint] = _shortest_rotation(
            rest[joint], F.normalize(joints[..., joint, :] - joints[..., parent, :], dim=-1)
        )
        before = root if joint in starts else world[parent]
        local.append(before.mT @ world[joint])
    # Columns one after the other, x then y.
    return rearrange(torch.stack(local, dim=-3)[..., :2], "... row column -> ... (column row)")


@once_per_device
def _bone_lengths() -> Float[Tensor, "22"]:
    return _assets()["bone_lengths"]


@once_per_device
def _rest_directions() -> Float[Tensor, "22 3"]:
    return torch.tensor(_REST_DIRECTIONS, dtype=torch.float64)


def _shortest_rotation(rest: Float[Tensor, "3"], direction: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B 3 3"]:
    """Shortest turn of unit `rest` onto unit `direction`: a half turn about `rest`, then one about midway."""
    midway = rest + direction
    # Opposite directions leave no plane. The original divides 0 by 0 there; the floor keeps values and gradient finite.
    length2 = midway.square().sum(dim=-1)[..., None, None].clamp_min(1e-12)
    identity = torch.eye(3, dtype=direction.dtype, device=direction.device)
    midway_turn = 2 * midway[..., :, None] * midway[..., None, :] / length2 - identity
    return midway_turn @ (2 * rest[:, None] * rest[None, :] - identity)


def _heading(to_the_right: Float[Tensor, "*B 3"]) -> Float[Tensor, "*B"]:
    """Angle about y that turns a body with this left-to-right vector to face z, radians."""
    # Facing is up x right = (right_z, 0, -right_x).
    return torch.atan2(-to_the_right[..., 2], -to_the_right[..., 0])


def _between(joints: Float[Tensor, "*B J 3"], start: str, end: str) -> Float[Tensor, "*B 3"]:
    return joints[..., JOINT_INDEX[end], :] - joints[..., JOINT_INDEX[start], :]


def _rotate_about_y(angle: Float[Tensor, "*#B"], points: Float[Tensor, "*#B 3"]) -> Float[Tensor, "*B 3"]:
    return (_turn_about_y(angle) @ points[..., None]).squeeze(-1)


def _turn_about_y(angle: Float[Tensor, "*B"]) -> Float[Tensor, "*B 3 3"]:
    return roma.rotvec_to_rotmat(angle[..., None] * axes(like=angle)[1])


def _integrate(steps: Float[Tensor, "*B F"]) -> Float[Tensor, "*B F"]:
    """What the steps before each frame add up to; the last step leads beyond the clip."""
    return torch.cat((torch.zeros_like(steps[..., :1]), steps[..., :-1].cumsum(dim=-1)), dim=-1)


@cache
def _assets() -> dict[str, Tensor]:
    with np.load(str(files("diffopt.prior") / "assets" / "humanml3d.npz"), allow_pickle=False) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}
