"""BlazePose with Thunder's second opinion: sides put right, joints averaged, discord told by a lower confidence.

BlazePose exchanges left and right where it takes a front for a back, in two dimensions and in three; Thunder seldom
does. Where both see a joint, their errors differ and the middle is nearer to the truth than either.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from diffopt.frontend.blazepose import LIMBS, Pose
from diffopt.frontend.thunder import Points

_BODY, _COCO_BODY = [*range(11, 17), *range(23, 29)], slice(5, 17)
"""Shoulders, elbows, wrists, hips, knees and ankles, left before right in both orders."""
_OTHER_SIDE = np.arange(12) ^ 1
_ARMS, _HIPS, _LEGS = slice(0, 6), slice(6, 8), slice(6, 12)
_GUESSED = 0.3
_EXCHANGED = 0.03
"""By how much the labels of the other side must be nearer to Thunder's, as a mean over a pair of limbs."""
_DISCORD = 0.05
"""Distance of the two readings that halves the confidence. Both in sides of the square about the body."""


def fuse(pose: Pose, points: Points, side_px: float) -> tuple[Pose, Bool[ndarray, "2"]]:
    """One reading of two.

    COCO's hips lie higher and wider than BlazePose's, which the body's regressor knows: those are kept. So is every
    joint at whose place Thunder only guesses, as it does beyond the picture's border.

    Args:
        pose: BlazePose's.
        points: Thunder's, of the same person.
        side_px: of the square about the whole body.

    Returns:
        The pose, and whether arms and legs had been exchanged in it.
    """
    theirs, sure = points.keypoints_px[_COCO_BODY], points.scores[_COCO_BODY] >= _GUESSED
    ours = pose.keypoints_px[_BODY]
    as_read, crossed = (np.linalg.norm(labels - theirs, axis=1) / side_px for labels in (ours, ours[_OTHER_SIDE]))
    gain = np.where(sure, as_read - crossed, 0.0)
    exchanged = np.array([gain[_ARMS].mean(), gain[_LEGS].mean()]) > _EXCHANGED

    keypoints, visibility, landmarks = pose.keypoints_px.copy(), pose.visibility.copy(), pose.landmarks_c.copy()
    for pairs, here in zip(LIMBS, exchanged, strict=True):
        if here:
            left, right = (list(side) for side in zip(*pairs, strict=True))
            for values in (keypoints, visibility, landmarks):
                values[left + right] = values[right + left]

    apart = np.linalg.norm(keypoints[_BODY] - theirs, axis=1) / side_px
    heard = sure.copy()
    heard[_HIPS] = False
    visibility[_BODY] *= np.where(heard, 1 / (1 + (apart / _DISCORD) ** 2), 1.0)
    keypoints[_BODY] += np.where(heard[:, None], (theirs - keypoints[_BODY]) / 2, 0.0)
    return replace(pose, keypoints_px=keypoints, visibility=visibility, landmarks_c=landmarks), exchanged
