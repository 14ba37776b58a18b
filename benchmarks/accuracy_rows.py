"""Rows that need no fit: the initial bodies put into the world by the given camera, raw and smoothed."""

import itertools
import json

import numpy as np
import roma
import torch
from scipy.ndimage import gaussian_filter1d

from diffopt.body.model import load_body
from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.state import observed_bodies
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation

GAUSSIAN_S = 0.1
MIN_CUTOFF_HZ, SPEED_COEFFICIENT, DERIVATIVE_CUTOFF_HZ = 1.0, 1.0, 1.0
"""Parameters of the one-Euro filter (Casiez et al. 2012), for metres and for the nine numbers of a rotation."""


def compose(observation: Observation, how: str) -> tuple[Motion, Cameras]:
    """The composition by name: `naive`, `true_scale`, `gaussian` or `one_euro`."""
    scale = 1.0 if how == "naive" else 1.0 / json.loads(observation.provenance)["slam_scale"]
    rotation = torch.as_tensor(observation.rotation_w2c).float()
    translation = scale * torch.as_tensor(observation.translation_w2c).float()
    bodies = observed_bodies(observation)
    rest = load_body().rest_joints(torch.as_tensor(observation.betas).float())[0]
    pelvis = (rotation.mT @ (bodies.transl + rest - translation)[..., None]).squeeze(-1)
    motion = Motion(bodies.body_pose, rotation.mT @ bodies.global_orient, pelvis - rest)
    if how in ("gaussian", "one_euro"):
        motion = _smoothed(motion, observation.fps, how)
    cameras = Cameras(
        rotation,
        translation,
        torch.as_tensor(observation.focal_px).float(),
        torch.as_tensor(observation.center_px).float(),
    )
    return motion, cameras


def _smoothed(motion: Motion, fps: float, how: str) -> Motion:
    def smooth(values: torch.Tensor) -> torch.Tensor:
        series = values.flatten(start_dim=1).double().numpy()
        if how == "gaussian":
            series = gaussian_filter1d(series, GAUSSIAN_S * fps, axis=0, mode="nearest")
        else:
            series = _one_euro(series, fps)
        return torch.as_tensor(series).float().reshape(values.shape)

    return Motion(
        roma.special_procrustes(smooth(motion.body_pose)),
        roma.special_procrustes(smooth(motion.global_orient)),
        smooth(motion.transl),
    )


def _one_euro(series: np.ndarray, fps: float) -> np.ndarray:
    """A low-pass filter, forward in time, whose cutoff grows with the speed of what it follows."""

    def share(cutoff_hz: np.ndarray | float) -> np.ndarray | float:
        ratio = 2 * np.pi * cutoff_hz / fps
        return ratio / (ratio + 1)

    smooth, speed = [series[0]], np.zeros_like(series[0])
    for before, now in itertools.pairwise(series):
        speed = speed + share(DERIVATIVE_CUTOFF_HZ) * ((now - before) * fps - speed)
        cutoff = MIN_CUTOFF_HZ + SPEED_COEFFICIENT * np.abs(speed)
        smooth.append(smooth[-1] + share(cutoff) * (now - smooth[-1]))
    return np.stack(smooth)
