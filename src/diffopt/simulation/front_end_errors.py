"""The errors that detectors, body estimators and SLAM systems make, with their usual sizes.

They are not white: an estimator is wrong in the same way for a while (clothes, view, its own habits), and it is such
errors that a fit must see through. Sizes are set so that the results reach the tools' published figures.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import roma
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.body.stature import stature
from diffopt.geometry.cameras import to_camera
from diffopt.motion.motion import Motion
from diffopt.simulation.virtual_camera import FilmedCameras, correlated_noise


@dataclass(frozen=True)
class FrontEndErrors:
    """Sizes of the errors; every 0 (`slam_scale_factor` 1) is a perfect tool.

    Body: HMR2.0 (Goel et al. 2023) has 54 mm PA-MPJPE and 81 mm MPJPE on 3DPW, 61 and 98 on EMDB; the errors below
    give 59 and 84 on synthetic walks (mean over seeds). Keypoints: one percent of the body's size, well inside COCO's
    own tolerance (the sigmas of its keypoint similarity are 2.5 to 11 percent). Camera: monocular SLAM drifts by a few
    percent of the path on human-centred clips and has no scale (Ye et al. 2023; Wang et al. 2024); focal lengths
    guessed from the image size are off by up to a tenth.
    """

    correlation_s: float = 0.4
    """How long the body estimator and the detector stay wrong in the same way, seconds."""
    joint_bias_deg: float = 4.0
    """Constant error of each joint: root mean square angle."""
    joint_drift_deg: float = 8.5
    """Slowly changing error of each joint."""
    joint_jitter_deg: float = 0.7
    """Error of each joint that is new in every frame."""
    root_bias_deg: float = 5.0
    root_drift_deg: float = 4.5
    root_jitter_deg: float = 0.35
    depth_bias: float = 0.06
    """Constant error of the person's distance, as a part of it."""
    depth_drift: float = 0.03
    depth_jitter: float = 0.003
    betas_kept: float = 0.5
    """How much of the true shape the estimator sees; the rest is the mean body, plus noise of the same size."""
    keypoint_drift: float = 0.008
    """Slowly changing error of each keypoint, as a part of the body's size in the image (diagonal of its box)."""
    keypoint_jitter: float = 0.005
    outlier_rate: float = 0.01
    """Part of all keypoints that land somewhere else on or near the body."""
    occlusions_per_s: float = 0.15
    """How often an arm, a leg or the head disappears, for `event_s`."""
    swaps_per_s: float = 0.1
    """How often left and right are mistaken, for a sixth of `event_s`."""
    lost_per_s: float = 0.02
    """How often the person is not found at all, for half of `event_s`."""
    event_s: float = 1.0
    dishonest: float = 0.15
    """Part of all confidences that say nothing about the error (the rest fall with it)."""
    slam_scale_factor: float = 4.0
    """The given camera's scale lies between metric / factor and metric * factor, even odds per octave."""
    slam_turn_deg_per_s: float = 0.3
    """Random walk of the camera's orientation: root mean square after one second."""
    slam_scale_drift_per_s: float = 0.03
    """Random walk of the logarithm of the camera's scale."""
    slam_lost_per_s: float = 0.0
    """How often SLAM stands still while the camera moves, for half of `event_s`."""
    focal_error: float = 0.08
    """Bound of the focal length's error, as a part of it."""

    def scaled(self, strength: float) -> "FrontEndErrors":
        """The same tools with errors and events `strength` times as large or frequent; 0 makes them perfect."""
        untouched = ("correlation_s", "event_s", "betas_kept", "slam_scale_factor")
        sizes = {
            field.name: strength * getattr(self, field.name) for field in fields(self) if field.name not in untouched
        }
        return replace(
            self,
            **sizes,
            betas_kept=max(0.0, 1 - strength * (1 - self.betas_kept)),
            slam_scale_factor=self.slam_scale_factor**strength,
        )


DETECTORS = FrontEndErrors()
"""Today's usual tools."""


@dataclass(frozen=True)
class BodyEstimate:
    """A body in the camera frame as an estimator gives it."""

    motion: Motion
    betas: Float[Tensor, "10"]


def spans_of_events(random: Generator, frames: int, fps: float, per_s: float, length_s: float) -> Bool[Tensor, "T"]:
    """Frames inside events that begin at random and last half to one and a half times `length_s`."""
    inside = torch.zeros(frames, dtype=torch.bool)
    for _ in range(random.poisson(per_s * frames / fps)):
        start, length = random.integers(frames), random.uniform(0.5, 1.5) * length_s * fps
        inside[start : start + max(1, round(length))] = True
    return inside


def lost_frames(frames: int, fps: float, errors: FrontEndErrors, random: Generator) -> Bool[Tensor, "T"]:
    """`frame_valid`: False where the person is not found; never in the first frame."""
    lost = spans_of_events(random, frames, fps, errors.lost_per_s, errors.event_s / 2)
    lost[0] = False
    return ~lost


def _wrong_turns(
    random: Generator, frames: int, joints: int, correlation_frames: float, bias: float, drift: float, jitter: float
) -> Float[Tensor, "T J 3 3"]:
    """Small rotations; sizes are root mean square angles in degrees."""
    constant = torch.from_numpy(random.standard_normal((1, joints * 3)))
    slow = correlated_noise(random, frames, joints * 3, correlation_frames)
    fast = torch.from_numpy(random.standard_normal((frames, joints * 3)))
    degrees = (bias * constant + drift * slow + jitter * fast) / math.sqrt(3)
    return roma.rotvec_to_rotmat(rearrange(degrees.deg2rad(), "t (joint xyz) -> t joint xyz", xyz=3))


def estimate_body(
    body: BodyModel,
    motion: Motion,
    betas: Float[Tensor, "10"],
    camera: FilmedCameras,
    focal_ratio: Float[Tensor, "T"],
    fps: float,
    errors: FrontEndErrors,
    valid: Bool[Tensor, "T"],
    random: Generator,
) -> BodyEstimate:
    """The body in the camera frame as a per-frame estimator gives it.

    It fits the picture: a body thought too small, or a focal length thought too short, brings it nearer by as much. In
    frames without a person the last estimate stays.
    """
    frames, correlation_frames = len(motion), errors.correlation_s * fps
    joints = _wrong_turns(
        random, frames, 23, correlation_frames, errors.joint_bias_deg, errors.joint_drift_deg, errors.joint_jitter_deg
    )
    root = _wrong_turns(
        random, frames, 1, correlation_frames, errors.root_bias_deg, errors.root_drift_deg, errors.root_jitter_deg
    )[:, 0]
    guessed = torch.from_numpy(random.standard_normal(10)).float()
    unseen = 1 - errors.betas_kept
    estimated_betas = errors.betas_kept * betas + unseen * betas.square().mean().sqrt() * guessed

    slow = correlated_noise(random, frames, 1, correlation_frames)[:, 0]
    fast = torch.from_numpy(random.standard_normal(frames))
    log_depth = errors.depth_bias * random.standard_normal() + errors.depth_drift * slow + errors.depth_jitter * fast
    depth_ratio = torch.exp(log_depth) * focal_ratio * float(stature(body, estimated_betas) / stature(body, betas))

    rest, estimated_rest = body.skeleton(betas)[0].double(), body.skeleton(estimated_betas)[0].double()
    pelvis = motion.transl.double() + rest
    pelvis_c = to_camera(pelvis[:, None], camera.rotation_w2c, camera.translation_w2c)[:, 0]
    sideways = pelvis_c * (depth_ratio / focal_ratio)[:, None]
    estimated_c = torch.cat([sideways[:, :2], pelvis_c[:, 2:] * depth_ratio[:, None]], dim=-1)
    orient_c = camera.rotation_w2c @ motion.global_orient.double()

    held = torch.where(valid, torch.arange(frames), 0).cummax(dim=0).values
    estimate = Motion(
        (motion.body_pose.double() @ joints)[held], (orient_c @ root)[held], (estimated_c - estimated_rest)[held]
    )
    return BodyEstimate(estimate, estimated_betas)


def estimate_camera(
    camera: FilmedCameras, fps: float, errors: FrontEndErrors, random: Generator
) -> tuple[FilmedCameras, float]:
    """The camera as SLAM gives it: the world is the first frame's camera, in a scale of its own, and it drifts.

    Returns:
        The camera, and the scale: given translation = scale * metres.
    """
    octaves = math.log2(errors.slam_scale_factor)
    scale = 2.0 ** random.uniform(-octaves, octaves)
    focal_ratio = 1 + random.uniform(-errors.focal_error, errors.focal_error)
    frames = len(camera.focal_px)
    turns = math.radians(errors.slam_turn_deg_per_s) / math.sqrt(3 * fps) * random.standard_normal((frames, 3))
    growth = errors.slam_scale_drift_per_s / math.sqrt(fps) * random.standard_normal(frames)
    lost = spans_of_events(random, frames, fps, errors.slam_lost_per_s, errors.event_s / 2)

    wrong_turns = roma.rotvec_to_rotmat(torch.from_numpy(turns))
    log_scale = math.log(scale) + np.cumsum(growth)
    # Camera-to-world, frame by frame: SLAM sees only the move from one frame to the next, so that errors add up.
    true_c2w = camera.rotation_w2c.mT
    true_center = -(true_c2w @ camera.translation_w2c[..., None]).squeeze(-1)
    c2w, center = [torch.eye(3, dtype=torch.float64)], [torch.zeros(3, dtype=torch.float64)]
    for frame in range(1, frames):
        turn = true_c2w[frame - 1].mT @ true_c2w[frame]
        step = math.exp(log_scale[frame]) * true_c2w[frame - 1].mT @ (true_center[frame] - true_center[frame - 1])
        if lost[frame]:
            turn, step = torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        center.append(center[-1] + c2w[-1] @ step)
        c2w.append(c2w[-1] @ turn @ wrong_turns[frame])
    rotation_w2c = torch.stack(c2w).mT
    translation = -(rotation_w2c @ torch.stack(center)[..., None]).squeeze(-1)
    return replace(
        camera, rotation_w2c=rotation_w2c, translation_w2c=translation, focal_px=focal_ratio * camera.focal_px
    ), scale
