"""Camera corrections: what a fit may change of the camera it was given (paper, section 2).

R_cam = orth(6D(R_slam) + b_R),  t_cam = s_t t_slam + b_t,  f_cam = s_f f_slam.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.motion.field import rotations_from_6d


@dataclass(frozen=True)
class Cameras:
    """World-to-camera pinhole cameras over T frames: X_c = R X_w + t, OpenCV axes, metres, pixels."""

    rotation_w2c: Float[Tensor, "T 3 3"]
    translation_w2c: Float[Tensor, "T 3"]
    focal_px: Float[Tensor, "T"]
    center_px: Float[Tensor, "T 2"]

    def __getitem__(self, frames: slice | Tensor) -> "Cameras":
        return Cameras(
            self.rotation_w2c[frames], self.translation_w2c[frames], self.focal_px[frames], self.center_px[frames]
        )

    def __len__(self) -> int:
        return len(self.focal_px)


class CameraCorrection(nn.Module):
    """The learned b_R, s_t, b_t, s_f of one clip.

    What is known is not moved: a `known` camera keeps everything, a `static` one its pose. One focal scale serves the
    whole clip unless the lens zooms, since a focal length per frame can explain away any change of depth.
    """

    def __init__(self, num_frames: int, trust: str, focal_per_frame: bool) -> None:
        """
        Args:
            num_frames: T.
            trust: `estimated` (all move), `static` (only the focal scale moves) or `known` (nothing moves).
            focal_per_frame: one s_f per frame, for a zooming lens, instead of one for the clip.
        """
        super().__init__()
        self.rotation_bias_6d = nn.Parameter(torch.zeros(num_frames, 3, 2))
        self.translation_scale = nn.Parameter(torch.ones(num_frames, 1))
        self.translation_bias = nn.Parameter(torch.zeros(num_frames, 3))
        self.focal_scale = nn.Parameter(torch.ones(num_frames if focal_per_frame else 1, 1))
        self.trust = trust

    def free_parameters(self) -> list[nn.Parameter]:
        """The corrections that the clip's trust in its camera leaves open."""
        if self.trust == "known":
            return []
        if self.trust == "static":
            return [self.focal_scale]
        return [self.rotation_bias_6d, self.translation_scale, self.translation_bias, self.focal_scale]

    def forward(self, given: Cameras) -> Cameras:
        """The given cameras, corrected. `given` covers all T frames."""
        columns = given.rotation_w2c[..., :2] + self.rotation_bias_6d
        return Cameras(
            rotation_w2c=rotations_from_6d(columns.flatten(start_dim=-2)),
            translation_w2c=self.translation_scale * given.translation_w2c + self.translation_bias,
            focal_px=self.focal_scale[:, 0] * given.focal_px,
            center_px=given.center_px,
        )
