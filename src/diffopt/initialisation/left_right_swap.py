"""Keypoints whose left and right a detector took for each other for a few frames, put right.

A fit would turn the whole body round to follow them. Two witnesses must agree before sides are swapped: the initial
body, whose estimator looked at the same picture, and the keypoints just before and after.
"""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy import ndarray

from diffopt.body.keypoints import keypoint_regressor, mirrored_rows
from diffopt.body.model import BodyModel
from diffopt.geometry.cameras import to_pixels
from diffopt.initialisation.options import SwapOptions
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation


def swap_mistaken_sides(
    observation: Observation, body: BodyModel, bodies_c: Motion, options: SwapOptions
) -> tuple[Observation, Bool[ndarray, "T"]]:
    """The observation with left and right of its keypoints swapped where they were mistaken.

    Args:
        observation: keypoints, confidences, focal length.
        body: the body that its betas belong to.
        bodies_c: the initial bodies, in the camera frame of each frame.
        options: when they were.

    Returns:
        The observation, and the frames that were changed.
    """
    betas = torch.as_tensor(observation.betas).float()
    landmarks_c = body.landmarks(bodies_c.body_pose, bodies_c.global_orient, bodies_c.transl, betas)
    regressor = keypoint_regressor(observation.keypoint_set)
    expected = to_pixels(
        regressor @ landmarks_c, torch.as_tensor(observation.focal_px).float(),
        torch.as_tensor(observation.center_px).float(),
    ).numpy()  # fmt: skip
    on_body = regressor.sum(dim=1).numpy() > 0
    seen = (observation.confidence > 0) & on_body & observation.frame_valid[:, None]
    mirror = mirrored_rows(observation.keypoint_set)
    keypoints = np.where(seen[..., None], observation.keypoints_px, np.nan)
    swapped = _mistaken(keypoints, keypoints[:, mirror], expected, observation.fps, options)
    if not swapped.any():
        return observation, swapped
    chosen = swapped[:, None]
    return replace(
        observation,
        keypoints_px=np.where(chosen[..., None], observation.keypoints_px[:, mirror], observation.keypoints_px),
        confidence=np.where(chosen, observation.confidence[:, mirror], observation.confidence),
    ), swapped


def _mistaken(
    keypoints: Float[ndarray, "T K 2"],
    swapped: Float[ndarray, "T K 2"],
    expected: Float[ndarray, "T K 2"],
    fps: float,
    options: SwapOptions,
) -> Bool[ndarray, "T"]:
    nearer = _distance(swapped, expected) < options.nearer * _distance(keypoints, expected)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], nearer, [False]]).astype(int))).reshape(-1, 2)
    for start, stop in edges:
        jumps = [
            _distance(track[inside], keypoints[outside])
            for track in (keypoints, swapped)
            for inside, outside in ((start, start - 1), (stop - 1, stop))
            if 0 <= outside < len(keypoints)
        ]
        kept, mended = np.nansum(jumps[: len(jumps) // 2]), np.nansum(jumps[len(jumps) // 2 :])
        if stop - start > options.longest_s * fps or not mended < kept:
            nearer[start:stop] = False
    return nearer


def _distance(first: Float[ndarray, "*T K 2"], second: Float[ndarray, "*T K 2"]) -> Float[ndarray, "*T"]:
    """Mean distance of the points that both have, pixels; NaN where there are none."""
    distance = np.linalg.norm(first - second, axis=-1)
    both = np.isfinite(distance)
    count = both.sum(axis=-1)
    return np.where(count > 0, np.where(both, distance, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
