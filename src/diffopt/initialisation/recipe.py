"""From an observation to the state that a fit starts from: one metric world, y up, floor y = 0.

The initial bodies are given in the camera frame and the camera in a world of its own, without gravity and usually
without scale. Here both are brought into one world (gravity, scale, and x_init of the paper's eq. 5).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX
from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.expected_velocity import expected_velocity
from diffopt.initialisation.gravity import (
    floor_height,
    rotation_to_up,
    up_from_bodies,
    up_from_contacts,
    up_from_planted_feet,
    up_of_held_camera,
)
from diffopt.initialisation.root_trajectory import FEET_DECIDE, SIGHT_DECIDES, RootPath, solve_root_path
from diffopt.initialisation.tracking_lost import contradicted, lost_steps, pieces, turned_on
from diffopt.motion.foot_contact import kinematic_velocity
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import MotionPrior

ROUNDED = 1e-6
"""Parts of a camera's distance from its world's origin, and units: what single precision leaves of its place."""


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
    given = observation.rotation_w2c.astype(np.float64)
    given_centers = _centers_from_first(given, observation.translation_w2c.astype(np.float64))
    estimated = observation.camera_trust == "estimated"
    lost = lost_steps(given, given_centers) & estimated
    rotation, centers = turned_on(given, given_centers, lost)
    travels = observation.camera_trust != "static" and bool(centers.any())
    pelvis_c = landmarks_c[:, JOINT_INDEX["pelvis"]]
    sight = _Sight(
        relative=np.einsum("tji,tkj->tki", rotation, landmarks_c - pelvis_c[:, None]),
        seen=np.einsum("tji,tj->ti", rotation, pelvis_c),
        centers=centers,
        piece=pieces(lost),
        valid=observation.frame_valid,
        fps=observation.fps,
        find_scale=travels and observation.camera_scale == "unknown",
    )

    def velocity_in(align: Float[ndarray, "3 3"]) -> Float[ndarray, "S 3"] | None:
        if prior is None:
            return None
        rotations_w = _place(body_c, body, betas, rotation @ align.T, sight.seen).body_rotations()
        expected = expected_velocity(prior, rotations_w, body.skeleton(betas), observation.fps)
        return None if expected is None else expected.double().numpy()

    align = _first_alignment(observation, sight, rotation)
    velocity = velocity_in(align)
    # A camera that never moves at all may be one that nobody estimated. A second of legs can tell.
    if estimated and not travels and len(given) > observation.fps and np.allclose(given, given[0], atol=1e-6):
        walked = sight.velocity_of_legs(align) if velocity is None else velocity
        if contradicted(walked, sight.seen @ align.T, sight.fps):
            sight = replace(sight, piece=np.arange(len(given)))
    path = _root_path(sight, align, velocity)
    tilt_deg = 0.0
    if observation.gravity_w is None:
        # The path tells which feet carry, and where they stood; both say more of what is up.
        first_up = align[1]
        turn = _turn_by_contacts(sight, align, path, rotation @ align.T)
        align, path = turn @ align, replace(path, root=path.root @ turn.T)
        align = rotation_to_up(_up_from_path(sight, align, path)) @ align
        tilt_deg = float(np.degrees(np.arccos(np.clip(align[1] @ first_up, -1, 1))))
        path = _root_path(sight, align, velocity_in(align))

    soles = body.sole_heights(betas).double().numpy()
    feet_heights = (sight.feet(align) + path.root[:, None])[..., 1] - soles
    floor = floor_height(feet_heights.ravel(), path.planted.ravel())
    lift = np.array([0.0, -floor, 0.0])
    centers_w = path.scale * centers @ align.T + path.camera_shift + lift
    rotation_w, given_w = rotation @ align.T, given @ align.T
    composed = np.einsum("tji,tj->ti", given_w, pelvis_c) + path.scale * given_centers @ align.T + lift
    return InitialState(
        motion=_place(body_c, body, betas, rotation_w, path.root + lift),
        composed=_place(body_c, body, betas, given_w, composed),
        cameras=Cameras(
            rotation_w2c=_tensor(rotation_w),
            translation_w2c=_tensor(-np.einsum("tij,tj->ti", rotation_w, centers_w)),
            focal_px=_tensor(observation.focal_px),
            center_px=_tensor(observation.center_px),
        ),
        betas=betas,
        scale_known=not sight.find_scale,
        findings={
            "camera_scale": path.scale,
            "camera_scale_log_error": path.scale_error,
            "camera_lost_share": float(np.diff(sight.piece).mean()) if len(given) > 1 else 0.0,
            "gravity_correction_deg": tilt_deg,
            "camera_height_m": float(centers_w[0, 1]),
        },
    )


def composed_state(observation: Observation, body: BodyModel, body_c: Motion) -> InitialState:
    """The bodies where the given camera sees them, and nothing more: x_init as the paper has it (section 3.3.1).

    The paper leaves to a supplement what it calls a simple heuristic that keeps the human in the frustum of the
    estimated camera. Here every body stands where its estimator put it in front of the camera of its frame, the
    camera's unit is taken for a metre, up is how people stand and how cameras are held (or the gravity given), and a
    quarter of the clip's lowest feet may be below the floor. No prior, no legs, no scale.

    Args, Returns: as for `initial_state`.
    """
    betas = torch.as_tensor(observation.betas).float()
    landmarks_c = body.landmarks(body_c.body_pose, body_c.global_orient, body_c.transl, betas).double().numpy()
    rotation = observation.rotation_w2c.astype(np.float64)
    centers = _centers_from_first(rotation, observation.translation_w2c.astype(np.float64))
    travels = observation.camera_trust != "static" and bool(centers.any())
    pelvis_c = landmarks_c[:, JOINT_INDEX["pelvis"]]
    sight = _Sight(
        relative=np.einsum("tji,tkj->tki", rotation, landmarks_c - pelvis_c[:, None]),
        seen=np.einsum("tji,tj->ti", rotation, pelvis_c),
        centers=centers,
        piece=np.zeros(len(centers), dtype=int),
        valid=observation.frame_valid,
        fps=observation.fps,
        find_scale=travels and observation.camera_scale == "unknown",
    )
    align = _first_alignment(observation, sight, rotation)
    root = (sight.seen + centers) @ align.T
    lowest = ((sight.feet(align) + root[:, None])[..., 1] - body.sole_heights(betas).double().numpy()).min(axis=1)
    lift = np.array([0.0, -floor_height(lowest, sight.valid.astype(np.float64)), 0.0])
    rotation_w, centers_w = rotation @ align.T, centers @ align.T + lift
    motion = _place(body_c, body, betas, rotation_w, root + lift)
    return InitialState(
        motion=motion,
        composed=motion,
        cameras=Cameras(
            rotation_w2c=_tensor(rotation_w),
            translation_w2c=_tensor(-np.einsum("tij,tj->ti", rotation_w, centers_w)),
            focal_px=_tensor(observation.focal_px),
            center_px=_tensor(observation.center_px),
        ),
        betas=betas,
        scale_known=not sight.find_scale,
        findings={
            "camera_scale": 1.0,
            "camera_scale_log_error": 0.0,
            "camera_lost_share": 0.0,
            "gravity_correction_deg": 0.0,
            "camera_height_m": float(centers_w[0, 1]),
        },
    )


@dataclass(frozen=True)
class _Sight:
    """What the camera saw, in the axes of its own world; metres."""

    relative: Float[ndarray, "T K 3"]
    """The body's landmarks from its pelvis."""
    seen: Float[ndarray, "T 3"]
    """The pelvis from the camera."""
    centers: Float[ndarray, "T 3"]
    """The camera from the first one, in its own unit."""
    piece: Int[ndarray, "T"]
    """Which piece of the camera's path a frame belongs to."""
    valid: Bool[ndarray, "T"]
    fps: float
    find_scale: bool

    def feet(self, align: Float[ndarray, "3 3"]) -> Float[ndarray, "T F 3"]:
        """Points of the soles from the pelvis, axes of the aligned world."""
        return self.relative[:, FOOT_POINTS] @ align.T

    def velocity_of_legs(self, align: Float[ndarray, "3 3"]) -> Float[ndarray, "S 3"]:
        """The root's velocity as planted feet alone tell it, metres per second."""
        relative = torch.from_numpy(self.relative[:, :BODY_JOINTS] @ align.T)
        return kinematic_velocity(relative, self.fps).numpy()


def _centers_from_first(
    rotation_w2c: Float[ndarray, "T 3 3"], translation_w2c: Float[ndarray, "T 3"]
) -> Float[ndarray, "T 3"]:
    """Camera centres from the first one, in their own unit: SLAM's convention, whatever the file's origin is.

    Exactly zero where they differ by no more than files round: in a camera that only turns, that is not travel.
    """
    centers = -np.einsum("tji,tj->ti", rotation_w2c, translation_w2c)
    centers = centers - centers[0]
    rounded = ROUNDED * (1 + np.linalg.norm(translation_w2c, axis=-1).max())
    return centers if np.linalg.norm(centers, axis=-1).max() > rounded else np.zeros_like(centers)


def _tensor(values: ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values)).float()


def _first_alignment(
    observation: Observation, sight: _Sight, rotation_w2c: Float[ndarray, "T 3 3"]
) -> Float[ndarray, "3 3"]:
    """Rotation from the camera's world to one with y up, by given gravity, else by standing bodies and held cameras."""
    if observation.gravity_w is not None:
        return rotation_to_up(-observation.gravity_w.astype(np.float64))
    trust = sight.valid.astype(np.float64)
    return rotation_to_up(up_from_bodies(sight.relative[:, :24], trust, sight.seen, rotation_w2c))


def _root_path(sight: _Sight, align: Float[ndarray, "3 3"], velocity: Float[ndarray, "S 3"] | None) -> RootPath:
    depth = np.linalg.norm(sight.seen, axis=-1)
    seen_w = sight.seen @ align.T
    return solve_root_path(
        seen_w=seen_w,
        sight_w=seen_w / np.maximum(depth, 1e-6)[:, None],
        depth_m=depth,
        centers=sight.centers @ align.T,
        feet=sight.feet(align),
        valid=sight.valid,
        fps=sight.fps,
        find_scale=sight.find_scale,
        evidence=FEET_DECIDE if sight.find_scale or sight.piece[-1] > 0 else SIGHT_DECIDES,
        velocity=velocity,
        piece=sight.piece,
    )


def _turn_by_contacts(
    sight: _Sight, align: Float[ndarray, "3 3"], path: RootPath, rotation_w2c: Float[ndarray, "T 3 3"]
) -> Float[ndarray, "3 3"]:
    feet = sight.feet(align)
    up = up_from_contacts(sight.relative[:, :24] @ align.T, feet, path.planted, path.root, sight.fps)
    return rotation_to_up(up_of_held_camera(up, rotation_w2c[:, 0], (sight.seen @ align.T)[:, None] + feet))


def _up_from_path(sight: _Sight, align: Float[ndarray, "3 3"], path: RootPath) -> Float[ndarray, "3"]:
    points = sight.feet(align) + path.root[:, None]
    return up_from_planted_feet(points, path.planted, np.linalg.norm(sight.seen, axis=-1), sight.fps)


def _place(
    body_c: Motion, body: BodyModel, betas: Tensor, rotation_w: Float[ndarray, "T 3 3"], root: Float[ndarray, "T 3"]
) -> Motion:
    """The camera-frame bodies with their pelvis at `root` in the world."""
    orient = _tensor(rotation_w).mT @ body_c.global_orient
    return Motion(body_c.body_pose, orient, _tensor(root) - body.rest_joints(betas)[0])
