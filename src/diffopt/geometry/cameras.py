"""Pinhole cameras, OpenCV axes (x right, y down, z forward), world-to-camera: X_c = R X_w + t."""

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

NEAR_M = 0.1
"""Depths are held at least this far in front of the camera, metres: a body that a fit pushes through the lens must
neither flip over nor divide by zero."""


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

    def to(self, device: torch.device | str) -> "Cameras":
        """The cameras on another device."""
        return Cameras(
            self.rotation_w2c.to(device),
            self.translation_w2c.to(device),
            self.focal_px.to(device),
            self.center_px.to(device),
        )


def to_camera(
    points_w: Float[Tensor, "T K 3"],
    rotation_w2c: Float[Tensor, "T 3 3"],
    translation_w2c: Float[Tensor, "T 3"],
) -> Float[Tensor, "T K 3"]:
    """World points in the camera frame, metres."""
    return points_w @ rotation_w2c.mT + translation_w2c[:, None]


def to_pixels(
    points_c: Float[Tensor, "T K 3"],
    focal_px: Float[Tensor, "T"],
    center_px: Float[Tensor, "T 2"],
) -> Float[Tensor, "T K 2"]:
    """Camera points in the image, pixels."""
    depth = points_c[..., 2:].clamp_min(NEAR_M)
    return focal_px[:, None, None] * points_c[..., :2] / depth + center_px[:, None]


def project(
    points_w: Float[Tensor, "T K 3"],
    rotation_w2c: Float[Tensor, "T 3 3"],
    translation_w2c: Float[Tensor, "T 3"],
    focal_px: Float[Tensor, "T"],
    center_px: Float[Tensor, "T 2"],
) -> Float[Tensor, "T K 2"]:
    """World points in the image, j = P(R_cam p + t_cam) (paper, eq. 9), pixels.

    The paper writes P(R_cam p - t_cam). Here t_cam is the translation of world-to-camera, as SLAM files and OpenCV have
    it, so its sign is plus.
    """
    return to_pixels(to_camera(points_w, rotation_w2c, translation_w2c), focal_px, center_px)


def camera_centers(rotation_w2c: Float[Tensor, "T 3 3"], translation_w2c: Float[Tensor, "T 3"]) -> Float[Tensor, "T 3"]:
    """Where the cameras stand in the world, metres: c = -R^T t."""
    return -(rotation_w2c.mT @ translation_w2c[..., None]).squeeze(-1)


def look_at(
    eye: Float[Tensor, "T 3"], target: Float[Tensor, "T 3"]
) -> tuple[Float[Tensor, "T 3 3"], Float[Tensor, "T 3"]]:
    """World-to-camera pose of upright cameras (world y up) that stand at `eye` and look at `target`.

    Returns:
        `rotation_w2c`, `translation_w2c`.
    """
    ahead = target - eye
    up = torch.tensor([0.0, 1.0, 0.0]).to(ahead).expand_as(ahead)
    forward, upward, right = roma.special_gramschmidt(torch.stack([ahead, up], dim=-1)).unbind(dim=-1)
    rotation = torch.stack([right, -upward, forward], dim=-2)
    return rotation, -(rotation @ eye[..., None]).squeeze(-1)
