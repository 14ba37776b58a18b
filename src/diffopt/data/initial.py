"""From an observation to the state that a fit starts from: one metric world, y up, floor y = 0.

The initial bodies are given in the camera frame and the camera in a world of its own, without gravity and usually
without scale. Here both are brought into one world (DESIGN, section 3: gravity, scale, x_init).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.data.gravity import (
    floor_height,
    rotation_to_up,
    up_from_bodies,
    up_from_contacts,
    up_from_planted_feet,
    up_of_held_camera,
)
from diffopt.data.observation import Observation
from diffopt.data.strides import expected_velocity
from diffopt.data.trajectory import FEET_DECIDE, SIGHT_DECIDES, RootPath, solve_root_path
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion
from diffopt.prior.prior import MotionPrior

CONTACT_S = 0.3
"""A foot is down for about this long in a step."""


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
    trust: Float[Tensor, "T"]
    """1 where the person was seen, 0 where not."""
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


def initial_state(
    observation: Observation, body: BodyModel, body_c: Motion, prior: MotionPrior | None = None
) -> InitialState:
    """Bring bodies in the camera frame and the camera of an observation into one metric, gravity-aligned world.

    Args:
        observation: a checked observation, for its camera and what is known of it.
        body: the body that its betas belong to.
        body_c: the bodies, in the camera frame of each frame: the observed ones, or ones refined since.
        prior: says what velocity to expect of the legs; None takes the planted feet alone.

    Returns:
        The state that a fit starts from.
    """
    betas = torch.as_tensor(observation.betas).float()
    landmarks_c = body.landmarks(body_c.body_pose, body_c.global_orient, body_c.transl, betas).double().numpy()
    rotation = observation.rotation_w2c.astype(np.float64)
    translation = observation.translation_w2c.astype(np.float64)
    valid = observation.frame_valid
    # The given world with its origin at the first camera: SLAM's convention, whatever the file's.
    centers = -np.einsum("tji,tj->ti", rotation, translation)
    centers = centers - centers[0]

    pelvis_c = landmarks_c[:, JOINT_INDEX["pelvis"]]
    relative = np.einsum("tji,tkj->tki", rotation, landmarks_c - pelvis_c[:, None])
    seen = np.einsum("tji,tj->ti", rotation, pelvis_c)
    travels = observation.camera_trust != "static" and float(np.linalg.norm(centers, axis=-1).max()) > 1e-6
    find_scale = travels and observation.camera_scale == "unknown"
    align = _first_alignment(observation, relative, valid)

    def path_in(align: Float[ndarray, "3 3"]) -> RootPath:
        velocity = None
        if prior is not None:
            rotations_w = _place(body_c, body, betas, rotation @ align.T, seen).body_rotations()
            velocity = expected_velocity(prior, rotations_w, body.skeleton(betas), observation.fps)
        return _root_path(align, relative, seen, centers, valid, observation.fps, find_scale, velocity)

    path = path_in(align)
    tilt_deg = 0.0
    if observation.gravity_w is None:
        # The path tells which feet carry, and where they stood; both say more of what is up.
        first_up = align[1]
        turn = _turn_by_contacts(align, relative, path, rotation[:, 0])
        align, path = turn @ align, replace(path, root=path.root @ turn.T)
        align = rotation_to_up(_up_from_path(align, relative, path, observation.fps)) @ align
        tilt_deg = float(np.degrees(np.arccos(np.clip(align[1] @ first_up, -1, 1))))
        path = path_in(align)

    soles = body.sole_heights(betas).double().numpy()
    feet_heights = ((relative @ align.T)[:, FOOT_POINTS] + path.root[:, None])[..., 1] - soles
    floor = floor_height(feet_heights.ravel(), path.planted.ravel())
    lift = np.array([0.0, -floor, 0.0])
    root = path.root + lift
    centers_w = path.scale * centers @ align.T + lift
    rotation_w = rotation @ align.T
    return InitialState(
        motion=_place(body_c, body, betas, rotation_w, root),
        composed=_place(body_c, body, betas, rotation_w, seen @ align.T + centers_w),
        cameras=Cameras(
            rotation_w2c=_tensor(rotation_w),
            translation_w2c=_tensor(-np.einsum("tij,tj->ti", rotation_w, centers_w)),
            focal_px=_tensor(observation.focal_px),
            center_px=_tensor(observation.center_px),
        ),
        betas=betas,
        trust=_tensor(valid),
        scale_known=not find_scale,
        findings={
            "camera_scale": path.scale,
            "camera_scale_log_error": path.scale_error,
            "gravity_correction_deg": tilt_deg,
            "camera_height_m": float(centers_w[0, 1]),
        },
    )


def _tensor(values: ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()


def _first_alignment(
    observation: Observation, relative: Float[ndarray, "T K 3"], valid: ndarray
) -> Float[ndarray, "3 3"]:
    """Rotation from the camera's world to one with y up, by given gravity, else by standing bodies and held cameras."""
    if observation.gravity_w is not None:
        return rotation_to_up(-observation.gravity_w.astype(np.float64))
    right_w = observation.rotation_w2c[:, 0].astype(np.float64)
    return rotation_to_up(up_from_bodies(relative[:, :24], valid.astype(np.float64), right_w))


def _root_path(
    align: Float[ndarray, "3 3"],
    relative: Float[ndarray, "T K 3"],
    seen: Float[ndarray, "T 3"],
    centers: Float[ndarray, "T 3"],
    valid: ndarray,
    fps: float,
    find_scale: bool,
    velocity: Float[Tensor, "S 3"] | None,
) -> RootPath:
    depth = np.linalg.norm(seen, axis=-1)
    return solve_root_path(
        seen_w=seen @ align.T,
        sight_w=seen @ align.T / np.maximum(depth, 1e-6)[:, None],
        depth_m=depth,
        centers=centers @ align.T,
        feet=(relative @ align.T)[:, FOOT_POINTS],
        valid=valid,
        fps=fps,
        find_scale=find_scale,
        evidence=FEET_DECIDE if find_scale else SIGHT_DECIDES,
        velocity=None if velocity is None else velocity.double().numpy(),
    )


def _turn_by_contacts(
    align: Float[ndarray, "3 3"],
    relative: Float[ndarray, "T K 3"],
    path: RootPath,
    right: Float[ndarray, "T 3"],
) -> Float[ndarray, "3 3"]:
    points = relative @ align.T
    up = up_from_contacts(points[:, :24], points[:, FOOT_POINTS], path.planted)
    return rotation_to_up(up_of_held_camera(up, right @ align.T))


def _up_from_path(
    align: Float[ndarray, "3 3"], relative: Float[ndarray, "T K 3"], path: RootPath, fps: float
) -> Float[ndarray, "3"]:
    points = (relative @ align.T)[:, FOOT_POINTS] + path.root[:, None]
    return up_from_planted_feet(points.reshape(-1, 3), path.planted.ravel(), samples_per_contact=2 * fps * CONTACT_S)


def _place(
    body_c: Motion, body: BodyModel, betas: Tensor, rotation_w: Float[ndarray, "T 3 3"], root: Float[ndarray, "T 3"]
) -> Motion:
    """The camera-frame bodies with their pelvis at `root` in the world."""
    orient = _tensor(rotation_w).mT @ body_c.global_orient
    return Motion(body_c.body_pose, orient, _tensor(root) - body.rest_joints(betas)[0])
