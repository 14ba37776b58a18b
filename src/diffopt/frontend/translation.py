"""Where a body of known shape and pose stands in front of a camera: the translation that puts it on its keypoints."""

import torch
from jaxtyping import Float
from torch import Tensor


def solve_translation(
    points_c: Float[Tensor, "T K 3"],
    keypoints_px: Float[Tensor, "T K 2"],
    weight: Float[Tensor, "T K"],
    focal_px: Float[Tensor, "T"],
    center_px: Float[Tensor, "T 2"],
    rounds: int = 4,
) -> Float[Tensor, "T 3"]:
    """Weighted least squares for the translation that best reprojects points onto keypoints, in closed form.

    With the ray (u, v, 1) of a keypoint, a point X falls on it when X_x + t_x = u (X_z + t_z), and likewise in y:
    linear in t. Dividing each equation by the depth of the round before turns its error into pixels.

    Args:
        points_c: the points before the translation, axes of the camera, metres.
        keypoints_px: where they are seen; never read where `weight` is 0.
        weight: trust in each keypoint; at least two per frame must be above 0.
        focal_px, center_px: the camera.
        rounds: solutions in a row; the first weighs all depths alike.

    Returns:
        One translation per frame, metres.
    """
    seen = (weight > 0)[..., None]
    rays = (torch.where(seen, keypoints_px, 0.0) - center_px[:, None]) / focal_px[:, None, None]
    # Rows [1, 0, -u] and [0, 1, -v] for every keypoint; what they should equal is u X_z - X_x and v X_z - X_y.
    eye = torch.eye(2).to(rays).expand(*rays.shape[:2], 2, 2)
    rows = torch.cat([eye, -rays[..., None]], dim=-1)
    goal = rays * points_c[..., 2:] - points_c[..., :2]
    in_pixels = weight
    translation = points_c.new_zeros(len(points_c), 3)
    for _ in range(rounds):
        weighted = rows * in_pixels[..., None, None]
        normal = torch.einsum("tkij,tkil->tjl", weighted, rows)
        translation = torch.linalg.solve(normal, torch.einsum("tkij,tki->tj", weighted, goal))
        depth = (points_c[..., 2] + translation[:, None, 2]).clamp_min(0.1)
        in_pixels = weight / depth.square()
    return translation
