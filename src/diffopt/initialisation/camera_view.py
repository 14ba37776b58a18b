"""What the given camera saw of the body, before anything is known of gravity and scale."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX
from diffopt.initialisation.options import TrackingLostOptions
from diffopt.initialisation.tracking_lost import bridge_rotations, lost_steps, segment_numbers
from diffopt.motion.foot_contact import StanceOptions, kinematic_velocity
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation

ROUNDED = 1e-6
"""Parts of a camera's distance from its world's origin, and units: what single precision leaves of its place."""


@dataclass(frozen=True)
class CameraView:
    """The body as seen, in the axes of the camera's own world; metres, the camera's travel in its own unit."""

    given_rotation: Float[ndarray, "T 3 3"]
    """The given camera, world to camera."""
    given_centers: Float[ndarray, "T 3"]
    """Its centres from the first one."""
    rotation: Float[ndarray, "T 3 3"]
    """The camera that is believed, world to camera: it goes on turning where tracking was lost."""
    centers: Float[ndarray, "T 3"]
    segment: Int[ndarray, "T"]
    """Which segment of the camera's trajectory a frame belongs to: lost tracking cuts it."""
    landmarks: Float[ndarray, "T K 3"]
    """The body's landmarks from its pelvis."""
    pelvis: Float[ndarray, "T 3"]
    """The pelvis from the camera."""
    pelvis_c: Float[ndarray, "T 3"]
    """The same in the camera frame of each frame."""
    valid: Bool[ndarray, "T"]
    """Frames in which the body was seen."""
    fps: float
    travels: bool
    find_scale: bool
    """The camera travels, and in an unknown unit."""

    def feet(self, align: Float[ndarray, "3 3"]) -> Float[ndarray, "T F 3"]:
        """Points of the soles from the pelvis, axes of the aligned world."""
        return self.landmarks[:, FOOT_POINTS] @ align.T

    def velocity_from_contacts(self, align: Float[ndarray, "3 3"], stance: StanceOptions) -> Float[ndarray, "S 3"]:
        """The root's velocity as feet in contact alone tell it, metres per second."""
        relative = torch.from_numpy(self.landmarks[:, :BODY_JOINTS] @ align.T)
        return kinematic_velocity(relative, self.fps, stance).numpy()


def view_from_camera(
    observation: Observation, body: BodyModel, bodies_c: Motion, options: TrackingLostOptions, bridge_lost: bool = True
) -> CameraView:
    """What the given camera saw.

    Args:
        observation: a checked observation, for its camera and what is known of it.
        body: the body that its betas belong to.
        bodies_c: the bodies, in the camera frame of each frame.
        options: when tracking was lost.
        bridge_lost: let a camera whose tracking was lost go on turning, and cut its trajectory there.
    """
    betas = torch.as_tensor(observation.betas).float()
    landmarks_c = body.landmarks(bodies_c.body_pose, bodies_c.global_orient, bodies_c.transl, betas).double().numpy()
    given = observation.rotation_w2c.astype(np.float64)
    given_centers = _centers_from_first(given, observation.translation_w2c.astype(np.float64))
    lost = lost_steps(given, given_centers, options.still_rad)
    lost &= bridge_lost and observation.camera_trust == "estimated"
    rotation, centers = bridge_rotations(given, given_centers, lost, options.neighbour_steps)
    travels = observation.camera_trust != "static" and bool(centers.any())
    pelvis_c = landmarks_c[:, JOINT_INDEX["pelvis"]]
    return CameraView(
        given_rotation=given,
        given_centers=given_centers,
        rotation=rotation,
        centers=centers,
        segment=segment_numbers(lost),
        landmarks=np.einsum("tji,tkj->tki", rotation, landmarks_c - pelvis_c[:, None]),
        pelvis=np.einsum("tji,tj->ti", rotation, pelvis_c),
        pelvis_c=pelvis_c,
        valid=observation.frame_valid,
        fps=observation.fps,
        travels=travels,
        find_scale=travels and observation.camera_scale == "unknown",
    )


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
