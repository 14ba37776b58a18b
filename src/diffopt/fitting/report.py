"""From a fit to a result: the motion on the floor, and how far each part of it can be trusted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import roma
import torch
from einops import rearrange
from jaxtyping import Float
from scipy.ndimage import minimum_filter1d
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.fitting.options import DiagnosticsOptions
from diffopt.fitting.run import Fitted
from diffopt.geometry.cameras import project
from diffopt.observation.observation import Observation
from diffopt.result.result import Result


def to_result(
    fitted: Fitted,
    observation: Observation,
    body: BodyModel,
    config_yaml: str,
    run: Mapping[str, Any],
    metrics: Mapping[str, Any] | None,
    options: DiagnosticsOptions,
) -> Result:
    """The result of a fit, with its diagnostics.

    Args:
        fitted: motion and cameras in one world.
        observation: what was fitted.
        body: the body that was posed.
        config_yaml: the whole configuration.
        run: versions, seed, seconds by part.
        metrics: against the truth, if known.
        options: what is called doubtful and planted.
    """
    motion, cameras = fitted.motion, fitted.cameras
    body_pose, global_orient, transl = motion.axis_angle()
    landmarks = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, fitted.initial.betas)
    return Result(
        fps=observation.fps,
        body_model=body.name,
        body_pose=body_pose.numpy(),
        global_orient=global_orient.numpy(),
        transl=transl.numpy(),
        betas=fitted.initial.betas.numpy(),
        joints=landmarks[:, :24].numpy(),
        rotation_w2c=cameras.rotation_w2c.numpy(),
        translation_w2c=cameras.translation_w2c.numpy(),
        focal_px=cameras.focal_px.numpy(),
        center_px=cameras.center_px.numpy(),
        image_size_px=observation.image_size_px,
        diagnostics=_diagnostics(fitted, observation, landmarks, options),
        config_yaml=config_yaml,
        run=dict(run),
        metrics=None if metrics is None else dict(metrics),
    )


def _diagnostics(
    fitted: Fitted, observation: Observation, landmarks: Float[Tensor, "T 47 3"], options: DiagnosticsOptions
) -> dict[str, Any]:
    error_px = _reprojection_px(fitted, landmarks)
    feet = rearrange(landmarks[:, FOOT_POINTS], "t (side point) xyz -> t side point xyz", side=2)
    height = feet[..., 1].amin(dim=2)
    # Of the lower point of a foot, from frame to frame; the last frame repeats the one before.
    speed = (feet[1:] - feet[:-1]).norm(dim=-1).amin(dim=2) * observation.fps
    speed = torch.cat([speed, speed[-1:]])
    reach = 2 * round(options.planted_s * observation.fps) + 1
    planted = height.numpy() < minimum_filter1d(height.numpy(), reach, axis=0) + options.planted_height_m
    doubtful = ~observation.frame_valid | (np.nan_to_num(error_px) > options.low_trust * fitted.batch.person_px.numpy())
    return {
        "found": fitted.findings,
        "provenance": observation.provenance,
        "reprojection_px": [None if np.isnan(value) else round(float(value), 2) for value in error_px],
        "reprojection_px_median": float(np.nanmedian(error_px)) if np.isfinite(error_px).any() else None,
        "foot_height_m": {side: height[:, index].tolist() for index, side in enumerate(("left", "right"))},
        "foot_speed_m_s": {side: speed[:, index].tolist() for index, side in enumerate(("left", "right"))},
        "planted_foot_speed_m_s": float(np.median(speed.numpy()[planted])),
        "correction": _correction_sizes(fitted),
        "losses": fitted.curves,
        "low_trust": _spans(doubtful),
        "left_right_swaps": _spans(fitted.swapped),
    }


def _reprojection_px(fitted: Fitted, landmarks: Float[Tensor, "T 47 3"]) -> np.ndarray:
    """Median distance of projected and detected keypoints per frame, pixels; NaN where none was detected."""
    cameras, batch = fitted.cameras, fitted.batch
    joints_px = project(
        batch.regressor @ landmarks,
        cameras.rotation_w2c,
        cameras.translation_w2c,
        cameras.focal_px,
        cameras.center_px,
    )
    distance = (joints_px - batch.keypoints_px).norm(dim=-1)
    return torch.where(batch.confidence > 0, distance, torch.nan).nanmedian(dim=1).values.numpy()


def _correction_sizes(fitted: Fitted) -> dict[str, list[float]]:
    """How far the cameras were moved from the given ones, per frame."""
    given, found, correction = fitted.given, fitted.cameras, fitted.correction
    turned = roma.rotmat_geodesic_distance(given.rotation_w2c, found.rotation_w2c)
    with torch.no_grad():
        return {
            "rotation_deg": torch.rad2deg(turned).tolist(),
            "translation_m": correction.translation_bias.norm(dim=1).tolist(),
            "focal_scale": (found.focal_px / given.focal_px).tolist(),
            "translation_scale": (correction.travel_scale * correction.translation_scale)[:, 0].tolist(),
        }


def _spans(flags: np.ndarray) -> list[list[int]]:
    """Runs of True as [start, stop)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return edges.reshape(-1, 2).tolist()
