"""Where a body of known shape and pose stands in front of a camera: the translation that puts it on its keypoints."""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.geometry.cameras import NEAR_M


def solve_translation(
    points_c: Float[Tensor, "T K 3"],
    keypoints_px: Float[Tensor, "T K 2"],
    weight: Float[Tensor, "T K"],
    focal_px: Float[Tensor, "T"],
    center_px: Float[Tensor, "T 2"],
    rounds: int = 4,
) -> Float[Tensor, "T 3"]:
    """Weighted least squares for the translation that best reprojects points onto keypoints.

    With the ray (u, v, 1) of a keypoint, a point X falls on it when X_x + t_x = u (X_z + t_z), and likewise in y:
    linear in t, and solved in closed form. That equation weighs far points more and draws t towards the camera; Gauss-
    Newton steps, each a closed form again, then make the error one of pixels.

    Args:
        points_c: the points before the translation, axes of the camera, metres.
        keypoints_px: where they are seen; never read where `weight` is 0.
        weight: trust in each keypoint; at least two per frame must be above 0.
        focal_px, center_px: the camera.
        rounds: solutions in a row; the first is the linear one.

    Returns:
        One translation per frame, metres.
    """
    seen = (weight > 0)[..., None]
    rays = (torch.where(seen, keypoints_px, 0.0) - center_px[:, None]) / focal_px[:, None, None]
    eye = torch.eye(2).to(rays).expand(*rays.shape[:2], 2, 2)
    # Rows [1, 0, -u] and [0, 1, -v] for every keypoint; what they should equal is u X_z - X_x and v X_z - X_y.
    rows = torch.cat([eye, -rays[..., None]], dim=-1)
    translation = _least_squares(rows, rays * points_c[..., 2:] - points_c[..., :2], weight)
    for _ in range(rounds - 1):
        placed = points_c + translation[:, None]
        depth = placed[..., 2:].clamp_min(NEAR_M)
        projected = placed[..., :2] / depth
        rows = torch.cat([eye, -projected[..., None]], dim=-1) / depth[..., None]
        translation = translation + _least_squares(rows, rays - projected, weight)
    return translation


def _least_squares(
    rows: Float[Tensor, "T K 2 3"], goal: Float[Tensor, "T K 2"], weight: Float[Tensor, "T K"]
) -> Float[Tensor, "T 3"]:
    weighted = rows * weight[..., None, None]
    normal = torch.einsum("tkij,tkil->tjl", weighted, rows)
    # Keypoints that are all in one place tell no distance: any will do.
    normal = normal + 1e-12 * torch.diag_embed(
        normal.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True).expand(-1, 3)
    )
    return torch.linalg.solve(normal, torch.einsum("tkij,tki->tj", weighted, goal))
