"""Learnable tensors in place of the field: every frame its own parameters (the paper's first ablation)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.motion.field import BODY_ROTATIONS, ExpectedPath, rotations_from_6d
from diffopt.motion.motion import Motion


class FreeMotion(nn.Module):
    """One 6D rotation per joint and one position per frame, read at any phase by linear interpolation."""

    def __init__(self, num_frames: int, expected_path: ExpectedPath) -> None:
        super().__init__()
        identity = torch.eye(3)[:, :2].flatten()
        self.pose = nn.Parameter(identity.repeat(num_frames, BODY_ROTATIONS, 1))
        self.orient = nn.Parameter(identity.repeat(num_frames, 1))
        self.position = nn.Parameter(torch.zeros(num_frames, 3))
        self.expected_path = expected_path

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
            transl=self.expected_path(phase, between(self.position)),
        )
