"""Motions on other skeletons: described from another rest pose, or brought towards another body's bones.

Everything works on a batch of windows at once. Feet stay where they stood.
"""

from dataclasses import dataclass, replace

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from diffopt.geometry.alignment import shortest_turn
from diffopt.mocap.clip import pose

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
        trusted: (B, 22) joints whose rotation was captured.
    """

    rotations: Float[Tensor, "B T 22 3 3"]
    root: Float[Tensor, "B T 3"]
    offsets: Float[Tensor, "B 22 3"]
    valid: Bool[Tensor, "B T"]
    trusted: Bool[Tensor, "B 22"]

    def joints(self) -> Float[Tensor, "B T 22 3"]:
        """World positions of the joints, metres."""
        return pose(self.rotations, self.root, self.offsets[:, None])


def describe_anew(windows: Windows, turn: Float[Tensor, "B 22 3 3"]) -> Windows:
    """Describe the same motion from another rest pose: every joint's frame is turned, no joint moves in space.

    The root's frame is the body's heading and tilt itself; its `turn` must be the identity.
    """
    parents = [0, *PARENTS[1:BODY_JOINTS]]
    offsets = (turn[:, parents].mT @ windows.offsets[..., None]).squeeze(-1)
    rotations = turn[:, None, parents].mT @ windows.rotations @ turn[:, None]
    return replace(windows, rotations=rotations, offsets=offsets)


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
