"""The state that a fit starts from: theta_init, phi_init, x_init (paper, eq. 5), and the camera."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation


@dataclass(frozen=True)
class InitialState:
    """What a fit starts from. World: y up, metres, floor y = 0; everything float32 tensors."""

    motion: Motion
    """theta_init, phi_init, x_init."""
    composed: Motion
    """The initial bodies put into the world by the camera alone, frame by frame: what diffopt has to beat."""
    cameras: Cameras
    """The given camera, in this world and in metres."""
    betas: Float[Tensor, "10"]
    scale_known: bool
    """The camera's travel was given in metres, or it does not travel."""
    findings: dict[str, float] = field(default_factory=dict)
    """Scale, its error, the angle by which gravity was corrected, and so on, for the diagnostics."""


def observed_bodies(observation: Observation) -> Motion:
    """The initial bodies of an observation, in the camera frame of each frame."""
    return Motion.from_axis_angle(
        torch.as_tensor(observation.body_pose).float(),
        torch.as_tensor(observation.global_orient_c).float(),
        torch.as_tensor(observation.transl_c).float(),
    )


def cameras_in_world(
    observation: Observation, rotation_w: Float[ndarray, "T 3 3"], centers_w: Float[ndarray, "T 3"]
) -> Cameras:
    """The observation's lenses at `centers_w`, turned by `rotation_w` (world to camera)."""
    return Cameras(
        rotation_w2c=_tensor(rotation_w),
        translation_w2c=_tensor(-np.einsum("tij,tj->ti", rotation_w, centers_w)),
        focal_px=_tensor(observation.focal_px),
        center_px=_tensor(observation.center_px),
    )


def pose_in_world(
    bodies_c: Motion, body: BodyModel, betas: Tensor, rotation_w: Float[ndarray, "T 3 3"], root: Float[ndarray, "T 3"]
) -> Motion:
    """The camera-frame bodies with their pelvis at `root` in the world."""
    orient = _tensor(rotation_w).mT @ bodies_c.global_orient
    return Motion(bodies_c.body_pose, orient, _tensor(root) - body.rest_joints(betas)[0])


def _tensor(values: ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()
