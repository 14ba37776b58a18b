"""A camera that was lost: found out, turned on as it turned, and its path put together again by the legs."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import load_body
from diffopt.geometry.cameras import to_camera
from diffopt.initialisation import tracking_lost
from diffopt.initialisation.options import InitialisationOptions, TrackingLostOptions
from diffopt.initialisation.state import observed_bodies
from diffopt.initialisation.tracking_lost import segment_numbers
from diffopt.initialisation.world import solve_world
from diffopt.prior.motion_prior import load_prior
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

OPTIONS = TrackingLostOptions()
lost_steps = partial(tracking_lost.lost_steps, still_rad=OPTIONS.still_rad)
bridge_rotations = partial(tracking_lost.bridge_rotations, neighbours=OPTIONS.neighbour_steps)
legs_contradict_camera = partial(
    tracking_lost.legs_contradict_camera, speed_m_s=OPTIONS.contradiction_m_s, seconds=OPTIONS.contradiction_s
)


def orbit(frames: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """World-to-camera rotations and centres of a camera on a circle, at one speed."""
    angle = np.linspace(0, 1.2, frames)
    rotation = Rotation.from_rotvec(np.stack([0 * angle, angle, 0 * angle], axis=1)).as_matrix()
    centers = 4 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    return rotation, centers - centers[0]


def forgetting(rotation: np.ndarray, centers: np.ndarray, lost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What SLAM makes of a camera when it misses steps: moves from frame to frame add up without them."""
    turns = rotation[1:] @ rotation[:-1].transpose(0, 2, 1)
    steps_c = np.einsum("tij,tj->ti", rotation[:-1], np.diff(centers, axis=0))
    turns[lost], steps_c[lost] = np.eye(3), 0
    seen, places = [rotation[0]], [np.zeros(3)]
    for turn, step_c in zip(turns, steps_c, strict=True):
        places.append(places[-1] + seen[-1].T @ step_c)
        seen.append(turn @ seen[-1])
    return np.stack(seen), np.stack(places)


def test_an_even_turn_goes_on_through_what_was_missed():
    rotation, centers = orbit()
    lost = np.zeros(39, dtype=bool)
    lost[[0, 14, 15, 16, 17, 38]] = True
    seen, places = forgetting(rotation, centers, lost)

    assert (lost_steps(seen, places) == lost).all()
    turned, moved = bridge_rotations(seen, places, lost)

    np.testing.assert_allclose(turned, rotation, atol=1e-9)
    # The known steps point where they did; the missed ones are still missed.
    np.testing.assert_allclose(np.diff(moved, axis=0)[~lost], np.diff(centers, axis=0)[~lost], atol=1e-9)
    assert np.abs(np.diff(moved, axis=0)[lost]).max() == 0
    assert list(np.unique(segment_numbers(lost))) == [0, 1, 2, 3, 4, 5, 6]


def test_a_camera_that_moves_or_never_does_is_not_lost():
    rotation, centers = orbit()
    assert not lost_steps(rotation, centers).any()
    assert not lost_steps(rotation, 0 * centers).any()
    same, places = bridge_rotations(rotation, centers, np.zeros(39, dtype=bool))
    assert same is rotation and places is centers


def test_a_camera_that_stops_to_pan_is_not_lost():
    rotation, centers = orbit()
    centers[20:] = centers[20]
    assert not lost_steps(rotation, centers).any()
    rotation[20:] = rotation[20]
    assert lost_steps(rotation, centers).sum() == 19


def test_legs_contradict_a_camera_that_is_said_to_stand():
    walk = np.tile([0.0, 0.0, 1.3], (60, 1))
    on_the_spot, away = np.zeros((61, 3)), np.concatenate([np.zeros((1, 3)), np.cumsum(walk / 30, axis=0)])
    assert legs_contradict_camera(walk, on_the_spot, 30.0)
    assert not legs_contradict_camera(walk, away, 30.0)
    assert not legs_contradict_camera(0 * walk, on_the_spot, 30.0)


@pytest.fixture(scope="module")
def walk():
    body = load_body()
    motion = synthetic_walk(body, num_frames=90, fps=30.0, seed=1)
    errors = replace(DETECTORS.scaled(0.0), slam_scale_factor=4.0)
    return body, lambda **changes: simulate_observation(
        body, *motion, fps=30.0, camera="follow", errors=replace(errors, **changes), seed=4
    )


def _travelled(observation, body) -> tuple[float, float]:
    state = solve_world(observation, body, observed_bodies(observation), InitialisationOptions(), load_prior())
    # Whatever is put together anew: the camera sees the body where it saw it.
    rest_pelvis = body.rest_joints(state.betas)[0]
    pelvis_c = to_camera(
        (state.motion.transl + rest_pelvis)[:, None], state.cameras.rotation_w2c, state.cameras.translation_w2c
    )[:, 0]
    assert (pelvis_c - torch.as_tensor(observation.transl_c) - rest_pelvis).norm(dim=-1).max() < 0.5
    root = state.motion.transl[:, [0, 2]]
    true = torch.as_tensor(observation.truth_transl)[:, [0, 2]]
    return float((root[-1] - root[0]).norm()), float((true[-1] - true[0]).norm())


def test_a_walk_goes_on_while_slam_is_lost(walk):
    body, film = walk
    observation = film(slam_lost_per_s=1.0)
    centers = -np.einsum("tji,tj->ti", observation.rotation_w2c, observation.translation_w2c)
    assert lost_steps(observation.rotation_w2c, centers).mean() > 0.2

    found, true = _travelled(observation, body)

    assert abs(found / true - 1) < 0.1


def test_without_any_camera_the_legs_walk_and_the_camera_follows(walk):
    body, film = walk
    observation = film()
    standing = np.tile(np.eye(3, dtype=np.float32), (observation.num_frames, 1, 1))
    blind = replace(observation, rotation_w2c=standing, translation_w2c=0 * observation.translation_w2c)

    found, true = _travelled(blind, body)
    held, _ = _travelled(replace(blind, camera_trust="static"), body)

    assert abs(found / true - 1) < 0.1
    assert held < 0.5 * true  # said to stand, it is taken to stand


def test_turns_are_taken_in_the_cameras_own_axes():
    """A camera that rolls about its own line of sight: its turn is the same however it looks."""
    frames = 20
    start = roma.random_rotmat(dtype=torch.float64, generator=torch.Generator().manual_seed(0)).numpy()
    roll = Rotation.from_rotvec(np.outer(0.05 * np.arange(frames), [0, 0, 1])).as_matrix()
    rotation = roll @ start
    centers = np.outer(np.arange(frames), [1.0, 0, 0])
    lost = np.zeros(frames - 1, dtype=bool)
    lost[8:11] = True
    seen, places = forgetting(rotation, centers, lost)

    turned, _ = bridge_rotations(seen, places, lost)

    np.testing.assert_allclose(turned, rotation, atol=1e-9)
