"""The world of given bodies: gravity alignment, scale, root trajectory and floor, in the order of `recipe`."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from diffopt.body.model import BodyModel
from diffopt.initialisation.camera_view import CameraView, view_from_camera
from diffopt.initialisation.expected_velocity import expected_velocity
from diffopt.initialisation.gravity import (
    floor_height,
    rotation_to_up,
    up_from_bodies,
    up_from_contacts,
    up_from_level_contacts,
    up_of_held_camera,
)
from diffopt.initialisation.options import GravityOptions, InitialisationOptions
from diffopt.initialisation.root_trajectory import RootTrajectory, solve_root_trajectory
from diffopt.initialisation.scale import ScalePosterior, scale_posterior
from diffopt.initialisation.state import InitialState, cameras_in_world, pose_in_world
from diffopt.initialisation.tracking_lost import legs_contradict_camera
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import MotionPrior


def solve_world(
    observation: Observation,
    body: BodyModel,
    bodies_c: Motion,
    options: InitialisationOptions,
    prior: MotionPrior | None = None,
) -> InitialState:
    """Bring bodies in the camera frame and the camera of an observation into one metric, gravity-aligned world.

    Args:
        observation: a checked observation, for its camera and what is known of it.
        body: the body that its betas belong to.
        bodies_c: the bodies, in the camera frame of each frame: the observed ones, or ones refined since.
        options: what is taken for granted of people, cameras and tools.
        prior: says what velocity to expect of the legs; None takes the feet in contact alone.

    Returns:
        The state that a fit starts from.
    """
    betas = torch.as_tensor(observation.betas).float()
    view = view_from_camera(observation, body, bodies_c, options.tracking_lost)

    def velocity_in(align: Float[ndarray, "3 3"]) -> Float[ndarray, "S 3"] | None:
        if prior is None:
            return None
        rotations_w = pose_in_world(bodies_c, body, betas, view.rotation @ align.T, view.pelvis).body_rotations()
        expected = expected_velocity(
            prior, rotations_w, body.skeleton(betas), view.fps, options.stance, options.expected_velocity
        )
        return None if expected is None else expected.double().numpy()

    align = first_alignment(observation, view, options.gravity)
    velocity = velocity_in(align)
    view = _without_contradicted_camera(observation, view, align, velocity, options)
    trajectory, posterior = _root_trajectory(view, align, velocity, options)
    tilt_deg = 0.0
    if observation.gravity_w is None:
        # The trajectory tells which feet carry, and where they stood; both say more of what is up.
        first_up = align[1]
        turn = _alignment_by_balance(view, align, trajectory, options.gravity)
        align, trajectory = turn @ align, replace(trajectory, root=trajectory.root @ turn.T)
        align = rotation_to_up(_up_from_contact_levels(view, align, trajectory, options.gravity)) @ align
        tilt_deg = float(np.degrees(np.arccos(np.clip(align[1] @ first_up, -1, 1))))
        trajectory, posterior = _root_trajectory(view, align, velocity_in(align), options)

    soles = body.sole_heights(betas).double().numpy()
    feet_heights = (view.feet(align) + trajectory.root[:, None])[..., 1] - soles
    floor = floor_height(feet_heights.ravel(), trajectory.contact.ravel(), options.gravity.floor_share)
    lift = np.array([0.0, -floor, 0.0])
    centers_w = trajectory.scale * view.centers @ align.T + trajectory.camera_shift + lift
    composed = _composed(view, align, trajectory.scale) + lift
    return InitialState(
        motion=pose_in_world(bodies_c, body, betas, view.rotation @ align.T, trajectory.root + lift),
        composed=pose_in_world(bodies_c, body, betas, view.given_rotation @ align.T, composed),
        cameras=cameras_in_world(observation, view.rotation @ align.T, centers_w),
        betas=betas,
        scale_known=not view.find_scale,
        findings={
            "camera_scale": trajectory.scale,
            "camera_scale_log_error": posterior.log_error,
            **{f"camera_scale_rival_{rank}": rival for rank, rival in enumerate(posterior.rivals, start=1)},
            "camera_lost_share": float(np.diff(view.segment).mean()) if len(view.segment) > 1 else 0.0,
            "gravity_correction_deg": tilt_deg,
            "camera_height_m": float(centers_w[0, 1]),
        },
    )


def first_alignment(observation: Observation, view: CameraView, options: GravityOptions) -> Float[ndarray, "3 3"]:
    """Rotation from the camera's world to one with y up, by given gravity, else by standing bodies and held cameras."""
    if observation.gravity_w is not None:
        return rotation_to_up(-observation.gravity_w.astype(np.float64))
    trust = view.valid.astype(np.float64)
    return rotation_to_up(up_from_bodies(view.landmarks[:, :24], trust, view.pelvis, view.rotation, options))


def _without_contradicted_camera(
    observation: Observation,
    view: CameraView,
    align: Float[ndarray, "3 3"],
    velocity: Float[ndarray, "S 3"] | None,
    options: InitialisationOptions,
) -> CameraView:
    """A camera that never moves at all may be one that nobody estimated: a second of legs can tell."""
    given = view.given_rotation
    stands = observation.camera_trust == "estimated" and not view.travels and np.allclose(given, given[0], atol=1e-6)
    if not stands or len(given) <= options.tracking_lost.contradiction_s * view.fps:
        return view
    from_legs = view.velocity_from_contacts(align, options.stance) if velocity is None else velocity
    speed_m_s, seconds = options.tracking_lost.contradiction_m_s, options.tracking_lost.contradiction_s
    if not legs_contradict_camera(from_legs, view.pelvis @ align.T, view.fps, speed_m_s, seconds):
        return view
    return replace(view, segment=np.arange(len(given)))


def _root_trajectory(
    view: CameraView,
    align: Float[ndarray, "3 3"],
    velocity: Float[ndarray, "S 3"] | None,
    options: InitialisationOptions,
) -> tuple[RootTrajectory, ScalePosterior]:
    """The trajectory, whose scale is the posterior's unless that holds the one that least squares find."""
    chosen = options.root_trajectory
    depth = np.linalg.norm(view.pelvis, axis=-1)
    seen_w, centers, feet = view.pelvis @ align.T, view.centers @ align.T, view.feet(align)

    def solve(scale: float, find_scale: bool) -> RootTrajectory:
        return solve_root_trajectory(
            seen_w=seen_w,
            sight_w=seen_w / np.maximum(depth, 1e-6)[:, None],
            depth_m=depth,
            centers=scale * centers,
            feet=feet,
            valid=view.valid,
            fps=view.fps,
            find_scale=find_scale,
            evidence=chosen.feet_decide if view.find_scale or view.segment[-1] > 0 else chosen.view_decides,
            least_travel_m=chosen.least_travel_m,
            velocity=velocity,
            segment=view.segment,
        )

    trajectory = solve(1.0, view.find_scale)
    if not view.find_scale:
        return trajectory, ScalePosterior(scale=1.0, log_error=0.0, rivals=())
    posterior = scale_posterior(
        seen_w, centers, feet, view.valid, view.segment, view.fps, velocity, chosen.least_travel_m, options.scale
    )
    if not posterior.holds(trajectory.scale):
        trajectory = replace(solve(posterior.scale, find_scale=False), scale=posterior.scale)
    return trajectory, posterior


def _alignment_by_balance(
    view: CameraView, align: Float[ndarray, "3 3"], trajectory: RootTrajectory, options: GravityOptions
) -> Float[ndarray, "3 3"]:
    feet = view.feet(align)
    up = up_from_contacts(view.landmarks[:, :24] @ align.T, feet, trajectory.contact, trajectory.root, view.fps)
    right_w = (view.rotation @ align.T)[:, 0]
    return rotation_to_up(up_of_held_camera(up, right_w, (view.pelvis @ align.T)[:, None] + feet, options))


def _up_from_contact_levels(
    view: CameraView, align: Float[ndarray, "3 3"], trajectory: RootTrajectory, options: GravityOptions
) -> Float[ndarray, "3"]:
    points = view.feet(align) + trajectory.root[:, None]
    return up_from_level_contacts(points, trajectory.contact, np.linalg.norm(view.pelvis, axis=-1), view.fps, options)


def _composed(view: CameraView, align: Float[ndarray, "3 3"], scale: float) -> Float[ndarray, "T 3"]:
    """The root where the given camera sees it, frame by frame."""
    root = np.einsum("tji,tj->ti", view.given_rotation @ align.T, view.pelvis_c)
    return root + scale * view.given_centers @ align.T
