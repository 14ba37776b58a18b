"""Camera corrections: what a fit may change of the camera it was given (paper, section 3.3.2).

R_cam = orth(6D(R_slam) + b_R),  t_cam = s_t t_slam + b_t,  f_cam = s_f f_slam.

As SLAM does, t_slam counts from the first camera, not from the world's origin on the floor: turning a camera by b_R
then turns it about itself, and s_t stretches its travel and leaves its height alone.
"""

import roma
import torch
from torch import nn

from diffopt.geometry.cameras import Cameras, camera_centers


class CameraCorrection(nn.Module):
    """The b_R, s_t, b_t, s_f of one clip, which eq. 7 learns, and one scale of the whole travel on which s_t builds.

    What is known is not moved: a `known` camera keeps everything but an unknown scale, a `static` one its pose. One
    focal scale serves the whole clip unless the lens zooms, since a focal length per frame can explain away any change
    of depth.
    """

    def __init__(
        self, num_frames: int, trust: str, scale_known: bool, focal_per_frame: bool, travel_scale: bool = True
    ) -> None:
        """
        Args:
            num_frames: T.
            trust: `estimated` (all move), `static` (only the focal scale moves) or `known` (only an unknown scale
                moves).
            scale_known: the camera's travel is in metres, or it does not travel: its scale is not free.
            focal_per_frame: one s_f per frame, for a zooming lens, instead of one for the clip.
            travel_scale: whether the scale of the whole travel is free beside s_t; the paper has s_t alone.
        """
        super().__init__()
        self.rotation_bias_6d = nn.Parameter(torch.zeros(num_frames, 3, 2))
        self.travel_scale = nn.Parameter(torch.ones(1))
        self.translation_scale = nn.Parameter(torch.ones(num_frames, 1))
        self.translation_bias = nn.Parameter(torch.zeros(num_frames, 3))
        self.focal_scale = nn.Parameter(torch.ones(num_frames if focal_per_frame else 1, 1))
        self.trust = trust
        self.scale_known = scale_known
        self.one_scale = travel_scale

    @torch.no_grad()
    def reset(self) -> None:
        """Back to no correction at all."""
        for bias in (self.rotation_bias_6d, self.translation_bias):
            bias.zero_()
        for scale in (self.travel_scale, self.translation_scale, self.focal_scale):
            scale.fill_(1.0)

    def free_parameters(self) -> list[nn.Parameter]:
        """The corrections that the clip's trust in its camera leaves open."""
        scale = [self.travel_scale] if self.one_scale and not self.scale_known else []
        if self.trust == "known":
            return scale
        if self.trust == "static":
            return [self.focal_scale]
        moving = [self.rotation_bias_6d, self.translation_bias, self.focal_scale]
        return moving if self.scale_known else [self.translation_scale, *scale, *moving]

    def forward(self, given: Cameras, frames: slice = slice(None)) -> Cameras:
        """The given cameras, corrected.

        Args:
            given: all T cameras of the clip.
            frames: which of them to return.
        """
        origin = camera_centers(given.rotation_w2c[:1], given.translation_w2c[:1])
        given = given[frames]
        columns = given.rotation_w2c[..., :2] + self.rotation_bias_6d[frames]
        rotation = roma.special_gramschmidt(columns)
        t_slam = given.translation_w2c + (given.rotation_w2c @ origin[..., None]).squeeze(-1)
        t_cam = self.travel_scale * self.translation_scale[frames] * t_slam + self.translation_bias[frames]
        focal_scale = self.focal_scale[frames] if len(self.focal_scale) > 1 else self.focal_scale
        return Cameras(
            rotation_w2c=rotation,
            translation_w2c=t_cam - (rotation @ origin[..., None]).squeeze(-1),
            focal_px=focal_scale[:, 0] * given.focal_px,
            center_px=given.center_px,
        )
