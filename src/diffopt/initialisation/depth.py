"""How far off the initial bodies stand, told by their keypoints.

An estimator looks at a crop and guesses how far off somebody is; the guess is commonly off by a tenth, all clip long.
A body of known size has to stand where it covers its keypoints, and a fit that started elsewhere would sooner bend the
body than carry its whole path there.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.geometry.cameras import to_pixels
from diffopt.geometry.translation import solve_translation
from diffopt.initialisation.options import DepthOptions
from diffopt.motion.motion import Motion

ROUNDS = 5


def move_to_keypoint_depth(
    bodies_c: Motion,
    body: BodyModel,
    betas: Float[Tensor, "10"],
    keypoints_px: Float[Tensor, "T K 2"],
    confidence: Float[Tensor, "T K"],
    regressor: Float[Tensor, "K 47"],
    focal_px: Float[Tensor, "T"],
    center_px: Float[Tensor, "T 2"],
    options: DepthOptions,
) -> Motion:
    """The same bodies, all moved along their rays by the one factor that suits the keypoints of most frames.

    One for the clip: a frame's own would take on the errors of its pose, which come and go with every stride.

    Args:
        bodies_c: the initial bodies, in the camera frame of each frame.
        body: the body that the betas belong to.
        betas: shape of the bodies.
        keypoints_px, confidence: what a detector saw; 0 where it was unsure or the body has no such point.
        regressor: the keypoints as means of the body's landmarks.
        focal_px, center_px: the camera.
        options: what keypoints can tell.

    Returns:
        Bodies in the camera frame of each frame.
    """
    seen = (confidence > 0).sum(dim=1) >= options.min_keypoints
    if not seen.any():
        return bodies_c
    landmarks = body.landmarks(bodies_c.body_pose, bodies_c.global_orient, bodies_c.transl, betas)
    pelvis = bodies_c.transl + body.rest_joints(betas)[0]
    place = _place(
        (regressor @ landmarks - pelvis[:, None])[seen].double(),
        keypoints_px[seen].double(),
        confidence[seen].double(),
        focal_px[seen].double(),
        center_px[seen].double(),
        options.outlier,
    )
    factor = float((place[:, 2] / pelvis[seen, 2]).median())
    if not 1 / options.most < factor < options.most:
        return bodies_c
    return Motion(bodies_c.body_pose, bodies_c.global_orient, bodies_c.transl + (factor - 1) * pelvis)


def _place(
    points: Float[Tensor, "N K 3"],
    keypoints_px: Float[Tensor, "N K 2"],
    confidence: Float[Tensor, "N K"],
    focal_px: Float[Tensor, "N"],
    center_px: Float[Tensor, "N 2"],
    outlier: float,
) -> Float[Tensor, "N 3"]:
    """Where the pelvis has to be for points about it to fall on their keypoints, whatever single ones say."""
    size_m = (points.amax(dim=1) - points.amin(dim=1)).norm(dim=-1)
    weight, place = confidence, torch.zeros_like(points[:, 0])
    for _ in range(ROUNDS):
        place = solve_translation(points, keypoints_px, weight, focal_px, center_px)
        off_px = (to_pixels(points + place[:, None], focal_px, center_px) - keypoints_px).norm(dim=-1)
        off = torch.where(confidence > 0, off_px, 0.0) * (place[:, 2] / focal_px / size_m)[:, None]
        weight = confidence / (1 + (off / outlier) ** 2) ** 2
    return place
