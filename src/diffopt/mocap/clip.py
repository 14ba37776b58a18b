"""One form for every captured motion, a `MotionClip`.

World: y up, metres, floor y = 0. A body in its rest pose faces +z with its left towards +x.
"""

from dataclasses import dataclass, field
from functools import cached_property

import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, forward_kinematics

KINDS = ("idle", "activity", "locomotion", "run", "dance", "sport")
"""What a clip may be of; `sport` are jumps, flips, fights and the like."""
STILL_SPEED, RUN_SPEED = 0.35, 2.0
"""Mean planar speeds of the root, metres per second: below the one an activity on the spot, above the other a run."""
FLOOR_PERCENTILE, TOE_HEIGHT = 0.05, 0.02
"""A clip stands on the floor when this fraction of its frames has the lower toe joint below this height, metres."""
AVERAGE_OFFSETS = torch.tensor([
    [0.0, 0.0, 0.0], [0.083, -0.087, -0.019], [-0.083, -0.087, -0.019], [0.0, 0.076, -0.047], [0.0, -0.396, 0.003],
    [0.0, -0.396, 0.003], [0.0, 0.065, -0.005], [-0.003, -0.439, -0.022], [0.003, -0.439, -0.022], [0.0, 0.093, -0.002],
    [0.005, -0.032, 0.127], [-0.005, -0.032, 0.127], [0.0, 0.162, -0.009], [0.055, 0.158, -0.025],
    [-0.055, 0.158, -0.025], [0.0, 0.086, -0.005], [0.102, 0.023, 0.0], [-0.102, 0.023, 0.0], [0.288, -0.007, 0.002],
    [-0.288, -0.007, 0.002], [0.213, 0.0, 0.0], [-0.213, 0.0, 0.0],
])  # fmt: skip
"""Rest skeleton of an average adult of the pack, metres."""


@dataclass(frozen=True)
class MotionClip:
    """One person's motion on the 22 joints that SMPL, SMPL-H and SMPL-X share.

    Attributes:
        name, subject: the take, and who moves; subjects are what training and validation are split by.
        kind: one of `KINDS`: training draws windows by it.
        fps: frames per second.
        rotations: (T, 22, 3, 3) each joint's rotation relative to its parent, index 0 the root's relative to the world.
        root: (T, 3) position of the pelvis joint, world metres.
        offsets: (22, 3) each joint from its parent in the rest pose, metres; row 0 is zero.
        weight: how often it is drawn, relative to other clips of its kind and length.
        trusted: (22,) joints whose own rotation was captured; training takes nothing from the others.
    """

    name: str
    subject: str
    kind: str
    fps: float
    rotations: Float[Tensor, "T 22 3 3"]
    root: Float[Tensor, "T 3"]
    offsets: Float[Tensor, "22 3"]
    weight: float = 1.0
    trusted: Bool[Tensor, "22"] = field(default_factory=lambda: torch.ones(BODY_JOINTS, dtype=torch.bool))

    @property
    def seconds(self) -> float:
        return len(self.root) / self.fps

    @cached_property
    def turns(self) -> Float[Tensor, "S 22 3"]:
        """Rotation vectors from each frame to the next, in the joint's own frame, radians; every window asks."""
        return roma.rotmat_to_rotvec(self.rotations[:-1].mT @ self.rotations[1:])

    def joints(self) -> Float[Tensor, "T 22 3"]:
        """World positions of the joints, metres."""
        return pose(self.rotations, self.root, self.offsets)


def pose(
    rotations: Float[Tensor, "*T 22 3 3"], root: Float[Tensor, "*T 3"], offsets: Float[Tensor, "*#T 22 3"]
) -> Float[Tensor, "*T 22 3"]:
    """Joint positions of a skeleton whose pelvis joint is at `root`, metres."""
    bones = offsets[..., 1:, :].expand(*root.shape[:-1], BODY_JOINTS - 1, 3)
    return forward_kinematics(rotations, torch.cat((root[..., None, :], bones), dim=-2))[1]


def kind_of(root: Float[Tensor, "T 3"], fps: float) -> str:
    """`activity`, `locomotion` or `run`, by the mean planar speed of the root over half-second steps."""
    step = min(max(1, round(fps / 2)), len(root) - 1)
    if step < 1:
        return "activity"
    speed = float((root[step:, [0, 2]] - root[:-step, [0, 2]]).norm(dim=-1).mean()) * fps / step
    return "run" if speed > RUN_SPEED else "locomotion" if speed > STILL_SPEED else "activity"


def floor_height(joints: Float[Tensor, "T 22 3"]) -> float:
    """Height of the floor under a clip, metres: a low percentile of the lower toe less the height of a standing toe."""
    toes = joints[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 1]
    return float(toes.amin(dim=1).quantile(FLOOR_PERCENTILE)) - TOE_HEIGHT
