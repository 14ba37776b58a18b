"""The motion of one body: pose, orientation and position per frame."""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS


@dataclass(frozen=True)
class Motion:
    """SMPL parameters over T frames, in one world frame (y up, metres). Rotations are matrices inside diffopt."""

    body_pose: Float[Tensor, "T 23 3 3"]
    global_orient: Float[Tensor, "T 3 3"]
    transl: Float[Tensor, "T 3"]

    @staticmethod
    def from_axis_angle(
        body_pose: Float[Tensor, "T 23 3"], global_orient: Float[Tensor, "T 3"], transl: Float[Tensor, "T 3"]
    ) -> "Motion":
        """From the files' axis-angle vectors, radians."""
        return Motion(roma.rotvec_to_rotmat(body_pose), roma.rotvec_to_rotmat(global_orient), transl)

    def axis_angle(self) -> tuple[Float[Tensor, "T 23 3"], Float[Tensor, "T 3"], Float[Tensor, "T 3"]]:
        """`body_pose`, `global_orient` as axis-angle vectors, radians, and `transl`, metres, for the files."""
        return roma.rotmat_to_rotvec(self.body_pose), roma.rotmat_to_rotvec(self.global_orient), self.transl

    def body_rotations(self) -> Float[Tensor, "T 22 3 3"]:
        """Local rotations of the 22 body joints, root first: what the motion prior reads."""
        return torch.cat([self.global_orient[:, None], self.body_pose[:, : BODY_JOINTS - 1]], dim=1)

    def to(self, device: torch.device | str) -> "Motion":
        """The motion on another device."""
        return Motion(self.body_pose.to(device), self.global_orient.to(device), self.transl.to(device))

    def __getitem__(self, frames: slice) -> "Motion":
        return Motion(self.body_pose[frames], self.global_orient[frames], self.transl[frames])

    def __len__(self) -> int:
        return len(self.transl)


def turn_world(
    motion: Motion,
    rest_pelvis: Float[Tensor, "3"],
    rotation: Float[Tensor, "3 3"],
    translation: Float[Tensor, "3"],
) -> Motion:
    """The same motion in another world: X' = R X + t.

    SMPL turns the body about the pelvis, which is not its origin, so `transl` takes up the difference
    (transl' = R (J0 + transl) - J0 + t).
    """
    transl = (motion.transl + rest_pelvis) @ rotation.mT - rest_pelvis + translation
    return Motion(motion.body_pose, rotation @ motion.global_orient, transl)
