"""From a fit to a result: the motion on the floor, and how far each part of it can be trusted."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.keypoints import Keypoints
from diffopt.body.model import BodyModel
from diffopt.fitting.run import Fitted
from diffopt.observation.observation import Observation
from diffopt.result.diagnostics import (
    DiagnosticsOptions,
    camera_turn_deg,
    foot_diagnostics,
    reprojection_diagnostics,
    reprojection_px,
    spans,
)
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
        options: what is called doubtful and in contact.
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
    batch = fitted.batch
    keypoints = Keypoints(batch.keypoints_px, batch.confidence, batch.regressor)
    error_px = reprojection_px(landmarks, fitted.cameras, keypoints)
    return {
        "found": fitted.findings,
        "provenance": observation.provenance,
        **reprojection_diagnostics(error_px, batch.person_px.numpy(), observation.frame_valid, options),
        **foot_diagnostics(landmarks, observation.fps, options),
        "correction": _correction_sizes(fitted),
        "losses": fitted.curves,
        "left_right_swaps": spans(fitted.swapped),
    }


def _correction_sizes(fitted: Fitted) -> dict[str, list[float]]:
    """How far the cameras were moved from the given ones, per frame."""
    given, found, correction = fitted.given, fitted.cameras, fitted.correction
    with torch.no_grad():
        return {
            "rotation_deg": camera_turn_deg(given, found),
            "translation_m": correction.translation_bias.norm(dim=1).tolist(),
            "focal_scale": (found.focal_px / given.focal_px).tolist(),
            "translation_scale": (correction.travel_scale * correction.translation_scale)[:, 0].tolist(),
        }
