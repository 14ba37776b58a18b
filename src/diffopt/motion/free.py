"""Learnable tensors in place of the field: every frame its own parameters (paper, section 4.3 and Table 5).

"Learnable parameters initialized with HMR2.0 values": they start at the initial motion, not at a rest pose.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.motion.field import rotations_from_6d
from diffopt.motion.motion import Motion


class FreeMotion(nn.Module):
    """One 6D rotation per joint and one position per frame, read at any phase by linear interpolation."""

    def __init__(self, initial: Motion) -> None:
        """
        Args:
            initial: the motion that the tensors start at, T frames.
        """
        super().__init__()
        self.pose = nn.Parameter(_six_numbers(initial.body_pose))
        self.orient = nn.Parameter(_six_numbers(initial.global_orient))
        self.position = nn.Parameter(initial.transl.clone())

    @torch.no_grad()
    def start_from(self, initial: Motion) -> None:
        """Start anew at another initial motion."""
        self.pose.copy_(_six_numbers(initial.body_pose))
        self.orient.copy_(_six_numbers(initial.global_orient))
        self.position.copy_(initial.transl)

    def forward(self, phase: Float[Tensor, "N"]) -> Motion:
        """The motion at the given phases, between two frames on the straight line of their numbers."""
        place = (phase * (len(self.position) - 1)).clamp(0, len(self.position) - 1)
        before = place.floor().long().clamp_max(max(len(self.position) - 2, 0))
        after = (before + 1).clamp_max(len(self.position) - 1)
        share = place - before

        def between(values: Float[Tensor, "T *D"]) -> Float[Tensor, "N *D"]:
            return torch.lerp(values[before], values[after], share.view(-1, *[1] * (values.dim() - 1)))

        return Motion(
            body_pose=rotations_from_6d(between(self.pose)),
            global_orient=rotations_from_6d(between(self.orient)),
            transl=between(self.position),
        )


def _six_numbers(rotation: Float[Tensor, "*N 3 3"]) -> Float[Tensor, "*N 6"]:
    """The first two columns row by row: what `rotations_from_6d` reads."""
    return rotation[..., :2].flatten(start_dim=-2)
