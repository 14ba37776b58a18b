"""Which way is up, and where the floor is."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.mass import center_of_mass
from diffopt.body.model import load_body
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.initialisation import gravity
from diffopt.initialisation.gravity import (
    floor_height,
    rotation_to_up,
    up_from_balance,
    up_from_contacts,
    up_from_posture,
)
from diffopt.initialisation.options import GravityOptions

OPTIONS = GravityOptions()
BALANCE = OPTIONS.leg_difference_m, OPTIONS.along_foot
up_from_level_contacts = partial(gravity.up_from_level_contacts, options=OPTIONS)
up_of_held_camera = partial(gravity.up_of_held_camera, options=OPTIONS)


@pytest.fixture(scope="module")
def body():
    return load_body()


def test_rotation_to_up_is_the_shortest_one():
    rng = np.random.default_rng(0)
    for up in rng.normal(size=(5, 3)):
        rotation = rotation_to_up(up)
        assert np.allclose(rotation @ up / np.linalg.norm(up), [0, 1, 0])
        angle = np.arccos(np.clip(up[1] / np.linalg.norm(up), -1, 1))
        assert np.isclose(Rotation.from_matrix(rotation).magnitude(), angle)
    assert np.allclose(rotation_to_up(np.array([0.0, -1.0, 0.0])) @ [0, -1, 0], [0, 1, 0])


def test_up_from_posture_shrugs_off_a_third_that_lies_down():
    directions = np.tile([0.02, 1.0, 0.0], (30, 1))
    directions[:10] = [1.0, 0.1, 0.0]
    up = up_from_posture(directions, np.ones(30))
    assert np.degrees(np.arccos(up @ [0.02, 1, 0] / np.linalg.norm([0.02, 1, 0]))) < 3


def test_nobody_falls_over_so_a_bow_does_not_tilt_the_world(body):
    pose = torch.eye(3).repeat(2, 23, 1, 1)
    bow = roma.rotvec_to_rotmat(torch.tensor([1.0, 0.0, 0.0]))
    pose[1, JOINT_INDEX["spine1"] - 1] = bow
    upright = torch.eye(3).repeat(2, 1, 1)
    joints = body.joints(pose, upright, torch.zeros(2, 3), torch.zeros(10)).double().numpy()
    # Who bows pushes the hips back until the mass is over the feet again.
    standing, bowing = (center_of_mass(one) - one[[10, 11]].mean(axis=0) for one in joints)
    lean = np.arctan2(bowing[2], bowing[1]) - np.arctan2(standing[2], standing[1])
    balanced = joints[1:] @ Rotation.from_rotvec([-lean, 0, 0]).as_matrix().T
    expected = up_from_balance(joints[:1], np.ones(1), np.array([0.0, 1, 0]), *BALANCE)
    found = up_from_balance(balanced, np.ones(1), np.array([0.0, 1, 0]), *BALANCE)
    assert np.degrees(np.arccos(expected[1])) < 5
    assert np.degrees(np.arccos(found @ expected)) < 3
    posture = up_from_posture(balanced[:, JOINT_INDEX["neck"]] - balanced[:, [7, 8]].mean(axis=1), np.ones(1))
    assert np.degrees(np.arccos(posture[1])) > 8


def test_feet_in_the_air_carry_nobody():
    """A runner above a foot in contact in one frame, in flight far ahead of both feet in the next."""
    joints, feet = np.zeros((2, 24, 3)), np.zeros((2, 4, 3))
    joints[..., 1] = 1.0
    joints[1, :, 2] = 2.0
    contact = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    up = up_from_contacts(joints, feet, contact, np.zeros((2, 3)), fps=30.0)

    assert np.degrees(np.arccos(up[1])) < 0.01
    astray = up_from_contacts(joints, feet, np.ones((2, 4)), np.zeros((2, 3)), fps=30.0)
    assert np.degrees(np.arccos(astray[1])) > 40


@pytest.mark.parametrize("acceleration", [[1.5, 0.0, -0.8], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
def test_who_gathers_speed_leans_into_it(acceleration):
    """The ground pushes along g up + a, so the body stands over its feet in that direction: Newton, in closed form."""
    seconds = np.arange(90)[:, None] / 30.0
    gained = np.array(acceleration)
    push = np.array([0.0, 9.81, 0.0]) + gained
    joints, feet = np.zeros((90, 24, 3)), np.zeros((90, 4, 3))
    feet[:] = -push / np.linalg.norm(push)

    up = up_from_contacts(joints, feet, np.ones((90, 4)), 0.5 * gained * seconds**2 + 3.0 * seconds, fps=30.0)

    assert np.degrees(np.arccos(np.clip(up[1], -1, 1))) < 0.01


def _seen_from(height_m: float, yaws: list[float], distance_m: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    """x axes of a level camera that turns about the vertical, and two feet seen in front of it; y up."""
    right = np.array([[np.cos(yaw), 0.0, np.sin(yaw)] for yaw in yaws])
    foot = np.array([[-distance_m * np.sin(yaw), -height_m, distance_m * np.cos(yaw)] for yaw in yaws])
    in_the_air = foot + np.array([0.0, 0.2, 0.0])
    return right, np.stack([foot, in_the_air], axis=1)


def test_a_level_camera_uprights_a_runner_who_leans_across_it_more_than_one_who_leans_away():
    lean = np.radians(12)
    right, feet = _seen_from(1.5, [0.0])
    across = up_of_held_camera(np.array([np.sin(lean), np.cos(lean), 0.0]), right, feet)
    away = up_of_held_camera(np.array([0.0, np.cos(lean), np.sin(lean)]), right, feet)
    assert np.degrees(np.arccos(across[1])) < 4
    assert 4 < np.degrees(np.arccos(away[1])) < 10
    # From farther off a camera turned that much would be held higher, or lie lower.
    little = np.array([0.0, np.cos(lean / 3), np.sin(lean / 3)])
    near, afar = (up_of_held_camera(little, *_seen_from(1.5, [0.0], distance_m=one)) for one in (4.0, 7.0))
    assert np.arccos(afar[1]) < 0.8 * np.arccos(near[1])
    # A camera that has turned sees him from the front as well.
    both = up_of_held_camera(np.array([0.0, np.cos(lean), np.sin(lean)]), *_seen_from(1.5, [-0.8, 0.8]))
    assert np.degrees(np.arccos(both[1])) < 4


def test_what_bodies_and_camera_agree_on_is_kept():
    up = np.array([0.0, 1.0, 0.0])
    assert np.allclose(up_of_held_camera(up, *_seen_from(1.5, [0.0, 0.4])), up, atol=1e-9)


def test_a_picture_on_its_side_or_from_above_does_not_lay_everybody_down():
    on_its_side = np.array([0.999, 0.045, 0.0])
    lying, feet = np.array([[1.0, 0.0, 0.0]]), np.array([[[-1.5, 0.0, 4.0]]])
    assert np.degrees(np.arccos(up_of_held_camera(on_its_side, lying, feet)[0])) < 30
    from_a_roof = up_of_held_camera(np.array([0.0, 1.0, 0.0]), *_seen_from(7.0, [0.0]))
    assert np.degrees(np.arccos(from_a_roof[1])) < 5


def _near(frames: int) -> tuple[np.ndarray, float]:
    """Somebody four metres off, at 30 frames per second."""
    return np.full(frames, 4.0), 30.0


def test_contacts_level_a_tilted_floor_as_far_as_they_reach():
    rng = np.random.default_rng(0)
    tilt = np.radians(4)
    normal = np.array([np.sin(tilt), np.cos(tilt), 0])
    points = rng.uniform(-3, 3, (400, 1, 3)) * [1, 0, 1]
    points[..., 1] = -points[..., 0] * np.tan(tilt)
    points[:40, :, 1] += rng.uniform(0.2, 0.6, (40, 1))  # feet that were not down after all
    up = up_from_level_contacts(points, np.ones((400, 1)), *_near(400))
    assert np.degrees(np.arccos(up @ normal)) < 0.5
    at_one_spot = up_from_level_contacts(points * [0.001, 0.001, 0.001], np.ones((400, 1)), *_near(400))
    assert np.degrees(np.arccos(at_one_spot[1])) < 0.1  # nothing to be seen, so nothing is changed


def test_a_foot_that_stands_for_long_is_no_more_evidence_than_one_that_stands_for_a_moment():
    places = np.array([[[0.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]], [[0.0, 0.0, 3.0]], [[3.0, 0.3, 3.0]]])
    steady = replace(OPTIONS, tilt_drift_rad=1e-5)
    once = up_from_level_contacts(places, np.ones((4, 1)), *_near(4), options=steady)
    often = up_from_level_contacts(
        places.repeat([1, 200, 1, 1], axis=0), np.ones((203, 1)), *_near(203), options=steady
    )  # fmt: skip
    assert np.allclose(often, once, atol=1e-5)  # a level that wanders so little is still not quite one
    assert np.degrees(np.arccos(once[1])) > 0.3
    # Within a frame, exactly.
    crowded, shares = places.repeat(200, axis=1), np.full((4, 200), 1 / 200)
    one = up_from_level_contacts(crowded, shares, *_near(4))
    shares[1] = 1.0
    assert np.allclose(up_from_level_contacts(crowded, shares, *_near(4)), one, atol=1e-9)


def test_where_no_foot_is_ever_down_up_stays_as_it_is():
    points = np.random.default_rng(0).normal(size=(20, 4, 3))
    assert np.allclose(up_from_level_contacts(points, np.zeros((20, 4)), *_near(20)), [0, 1, 0], atol=1e-6)


def test_a_tilted_floor_is_found_in_an_hour_of_walking_too():
    """432,000 foot points: pairs of them would take more memory than anybody has."""
    places = np.linspace(0, 400, 1000)[:, None, None] * [1.0, 0.0, 0.3]
    places[..., 1] = 0.02 * places[..., 0]
    points = places.repeat(108, axis=0).repeat(4, axis=1)
    up = up_from_level_contacts(points, np.ones((108_000, 4)), *_near(108_000))
    # Uphill along the path; across it nothing is known, and nothing changed.
    assert np.allclose(up / up[1], [-0.02 / 1.09, 1.0, -0.006 / 1.09], atol=1e-3)


def test_tilt_under_a_drifting_camera_equals_generalised_least_squares():
    """Levels that wander are errors that hang together: their dense covariance must give the same answer."""
    rng = np.random.default_rng(3)
    frames, fps, height_error_m, drift, tilt_error = 12, 10.0, 0.03, 0.01, 0.05
    depth = rng.uniform(2, 30, frames)
    # A metre and more apart, so that each is evidence of its own, and hardly off, so that none is an outlier.
    points = 2.0 * np.stack(np.meshgrid(np.arange(frames), [0.0], np.arange(2.0), indexing="ij"), axis=-1)[:, 0]
    points[..., 1] = 1e-5 * rng.normal(size=(frames, 2))
    ours = up_from_level_contacts(
        points,
        np.ones((frames, 2)),
        depth,
        fps,
        options=replace(OPTIONS, contact_height_m=height_error_m, tilt_drift_rad=drift, up_error_rad=tilt_error),
    )
    wandered = np.concatenate([[0.0], np.cumsum((drift * depth[1:]) ** 2 / fps)])
    level = np.minimum(wandered[:, None], wandered[None]) + 1e3  # nothing is known of the first
    covariance = np.kron(level, np.ones((2, 2))) + height_error_m**2 * np.eye(2 * frames)
    ground = points.reshape(-1, 3)[:, [0, 2]]
    precision = np.linalg.inv(covariance)
    theirs = -np.linalg.solve(
        ground.T @ precision @ ground + np.eye(2) / tilt_error**2, ground.T @ precision @ points.reshape(-1, 3)[:, 1]
    )
    assert np.abs(theirs).max() > 1e-8
    assert np.allclose(ours[[0, 2]] / ours[1], theirs, rtol=1e-3, atol=1e-11)


def test_a_far_walker_does_not_tilt_the_world_with_the_camera_s_drift():
    """Fifty metres off, a third of a degree of the camera's drift lifts feet by 30 cm, which is no hill."""
    away = np.linspace(0, 40, 900)
    lifted = 0.3 * np.sin(away / 3)  # along with the path's own bends, it looks like a slope
    points = np.stack([lifted, lifted, away], axis=1)[:, None]
    near, far = (up_from_level_contacts(points, np.ones((900, 1)), np.full(900, depth), 30.0) for depth in (0.5, 50.0))
    assert np.degrees(np.arccos(far[1])) < 2 < 5 < np.degrees(np.arccos(near[1]))


def test_floor_is_the_weighted_lower_quartile():
    heights = np.array([-0.01, 0.0, 0.02, 0.03, -0.5])
    assert floor_height(heights, np.array([1.0, 1.0, 1.0, 1.0, 0.0]), 0.25) == -0.01
    assert floor_height(heights, np.array([1.0, 3.0, 1.0, 1.0, 0.0]), 0.25) == 0.0
