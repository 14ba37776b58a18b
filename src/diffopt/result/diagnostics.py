"""How far each part of a result can be trusted: what `diagnostics.json` says (docs/formats.md)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import roma
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.ndimage import minimum_filter1d
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS, Keypoints
from diffopt.bounds import positive
from diffopt.geometry.cameras import Cameras, project


@dataclass(frozen=True)
class DiagnosticsOptions:
    """What a result calls doubtful and in contact; the fit itself does not ask."""

    low_trust: float = positive(0.08)
    """A frame whose median reprojection error exceeds this share of the person's height is not to be trusted.
    Judgement, within how far COCO's annotators disagree (2.5 to 11 percent of a body's size, by joint)."""
    contact_height_m: float = positive(0.03)
    """A foot is in contact while it is this near to the lowest place that it reaches within `contact_s` to either side,
    metres: the floor may be a step or a beam. Judgement: what feet in contact of a fit are off in height."""
    contact_s: float = positive(0.5)
    """Seconds; half a stride, which holds one stance of each foot."""


def reprojection_px(landmarks: Float[Tensor, "T 47 3"], cameras: Cameras, keypoints: Keypoints) -> Float[ndarray, "T"]:
    """Median distance of projected and detected keypoints per frame, pixels; NaN where none was detected."""
    joints_px = project(
        keypoints.regressor @ landmarks,
        cameras.rotation_w2c,
        cameras.translation_w2c,
        cameras.focal_px,
        cameras.center_px,
    )
    distance = (joints_px - keypoints.keypoints_px).norm(dim=-1)
    return torch.where(keypoints.confidence > 0, distance, torch.nan).nanmedian(dim=1).values.numpy()


def reprojection_diagnostics(
    error_px: Float[ndarray, "T"],
    person_px: Float[ndarray, "T"],
    valid: Bool[ndarray, "T"],
    options: DiagnosticsOptions,
) -> dict[str, Any]:
    """Reprojection errors, and the spans that are not to be trusted.

    Args:
        error_px: see `reprojection_px`.
        person_px: height of the person in the image, pixels.
        valid: frames in which the person was seen.
        options: what is not to be trusted.
    """
    return {
        "reprojection_px": [None if np.isnan(value) else round(float(value), 2) for value in error_px],
        "reprojection_px_median": float(np.nanmedian(error_px)) if np.isfinite(error_px).any() else None,
        "low_trust": spans(~valid | (np.nan_to_num(error_px) > options.low_trust * person_px)),
    }


def foot_diagnostics(landmarks: Float[Tensor, "T 47 3"], fps: float, options: DiagnosticsOptions) -> dict[str, Any]:
    """Heights and speeds of the feet, and how fast they move while they are in contact; metres, seconds."""
    feet = rearrange(landmarks[:, FOOT_POINTS], "t (side point) xyz -> t side point xyz", side=2)
    height = feet[..., 1].amin(dim=2)
    # Of the lower point of a foot, from frame to frame; the last frame repeats the one before.
    speed = (feet[1:] - feet[:-1]).norm(dim=-1).amin(dim=2) * fps
    speed = torch.cat([speed, speed[-1:]])
    reach = 2 * round(options.contact_s * fps) + 1
    contact = height.numpy() < minimum_filter1d(height.numpy(), reach, axis=0) + options.contact_height_m
    return {
        "foot_height_m": {side: height[:, index].tolist() for index, side in enumerate(("left", "right"))},
        "foot_speed_m_s": {side: speed[:, index].tolist() for index, side in enumerate(("left", "right"))},
        "contact_foot_speed_m_s": float(np.median(speed.numpy()[contact])),
    }


def camera_turn_deg(given: Cameras, found: Cameras) -> list[float]:
    """By how much the cameras were turned from the given ones, degrees per frame."""
    return torch.rad2deg(roma.rotmat_geodesic_distance(given.rotation_w2c, found.rotation_w2c)).tolist()


def spans(flags: Bool[ndarray, "T"]) -> list[list[int]]:
    """Runs of True as [start, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return edges.reshape(-1, 2).tolist()
