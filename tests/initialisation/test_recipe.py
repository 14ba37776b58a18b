"""Gravity, floor, scale and path: exact on clean input, against independent answers."""

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from diffopt.body.mass import center_of_mass
from diffopt.body.model import load_body
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.evaluation.truth import TruthScore
from diffopt.geometry.cameras import camera_centers
from diffopt.initialisation.gravity import (
    floor_height,
    rotation_to_up,
    up_from_balance,
    up_from_contacts,
    up_from_planted_feet,
    up_from_posture,
    up_of_held_camera,
)
from diffopt.initialisation.recipe import composed_state, initial_state, observed_bodies
from diffopt.initialisation.root_trajectory import MIN_TRAVEL_M, Evidence, solve_root_path
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def clean_walk(body):
    """A walk of four seconds seen by perfect tools, but for SLAM's unknown world and scale."""
    motion = synthetic_walk(body, num_frames=120, fps=30.0, seed=1)
    return simulate_observation(body, *motion, fps=30.0, camera="follow", errors=DETECTORS.scaled(0.0), seed=1)


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
    expected = up_from_balance(joints[:1], np.ones(1), np.array([0.0, 1, 0]))
    found = up_from_balance(balanced, np.ones(1), np.array([0.0, 1, 0]))
    assert np.degrees(np.arccos(expected[1])) < 5
    assert np.degrees(np.arccos(found @ expected)) < 3
    posture = up_from_posture(balanced[:, JOINT_INDEX["neck"]] - balanced[:, [7, 8]].mean(axis=1), np.ones(1))
    assert np.degrees(np.arccos(posture[1])) > 8


def test_feet_in_the_air_carry_nobody():
    """A runner above a planted foot in one frame, in flight far ahead of both feet in the next."""
    joints, feet = np.zeros((2, 24, 3)), np.zeros((2, 4, 3))
    joints[..., 1] = 1.0
    joints[1, :, 2] = 2.0
    planted = np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])

    up = up_from_contacts(joints, feet, planted, np.zeros((2, 3)), fps=30.0)

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


def test_planted_feet_level_a_tilted_floor_as_far_as_they_reach():
    rng = np.random.default_rng(0)
    tilt = np.radians(4)
    normal = np.array([np.sin(tilt), np.cos(tilt), 0])
    points = rng.uniform(-3, 3, (400, 1, 3)) * [1, 0, 1]
    points[..., 1] = -points[..., 0] * np.tan(tilt)
    points[:40, :, 1] += rng.uniform(0.2, 0.6, (40, 1))  # feet that were not down after all
    up = up_from_planted_feet(points, np.ones((400, 1)), *_near(400))
    assert np.degrees(np.arccos(up @ normal)) < 0.5
    at_one_spot = up_from_planted_feet(points * [0.001, 0.001, 0.001], np.ones((400, 1)), *_near(400))
    assert np.degrees(np.arccos(at_one_spot[1])) < 0.1  # nothing to be seen, so nothing is changed


def test_a_foot_that_stands_for_long_is_no_more_evidence_than_one_that_stands_for_a_moment():
    places = np.array([[[0.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]], [[0.0, 0.0, 3.0]], [[3.0, 0.3, 3.0]]])
    once = up_from_planted_feet(places, np.ones((4, 1)), *_near(4), drift=1e-5)
    often = up_from_planted_feet(
        places.repeat([1, 200, 1, 1], axis=0), np.ones((203, 1)), *_near(203), drift=1e-5
    )  # fmt: skip
    assert np.allclose(often, once, atol=1e-5)  # a level that wanders so little is still not quite one
    assert np.degrees(np.arccos(once[1])) > 0.3
    # Within a frame, exactly.
    crowded, shares = places.repeat(200, axis=1), np.full((4, 200), 1 / 200)
    one = up_from_planted_feet(crowded, shares, *_near(4))
    shares[1] = 1.0
    assert np.allclose(up_from_planted_feet(crowded, shares, *_near(4)), one, atol=1e-9)


def test_where_no_foot_is_ever_down_up_stays_as_it_is():
    points = np.random.default_rng(0).normal(size=(20, 4, 3))
    assert np.allclose(up_from_planted_feet(points, np.zeros((20, 4)), *_near(20)), [0, 1, 0], atol=1e-6)


def test_a_tilted_floor_is_found_in_an_hour_of_walking_too():
    """432,000 foot points: pairs of them would take more memory than anybody has."""
    places = np.linspace(0, 400, 1000)[:, None, None] * [1.0, 0.0, 0.3]
    places[..., 1] = 0.02 * places[..., 0]
    points = places.repeat(108, axis=0).repeat(4, axis=1)
    up = up_from_planted_feet(points, np.ones((108_000, 4)), *_near(108_000))
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
    ours = up_from_planted_feet(
        points, np.ones((frames, 2)), depth, fps, height_error_m=height_error_m, drift=drift, tilt_error=tilt_error
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
    near, far = (up_from_planted_feet(points, np.ones((900, 1)), np.full(900, depth), 30.0) for depth in (0.5, 50.0))
    assert np.degrees(np.arccos(far[1])) < 2 < 5 < np.degrees(np.arccos(near[1]))


def test_floor_is_the_weighted_lower_quartile():
    heights = np.array([-0.01, 0.0, 0.02, 0.03, -0.5])
    assert floor_height(heights, np.array([1.0, 1.0, 1.0, 1.0, 0.0])) == -0.01
    assert floor_height(heights, np.array([1.0, 3.0, 1.0, 1.0, 0.0])) == 0.0


def test_path_and_scale_equal_a_general_least_squares_solver():
    """Without reweighting the problem is linear: scipy's general solver, given the residuals in words, must agree."""
    rng = np.random.default_rng(1)
    frames, fps, evidence = 6, 10.0, Evidence()
    seen, centers = rng.normal(size=(frames, 3)), rng.normal(size=(frames, 3))
    centers[0] = 0
    depth = np.linalg.norm(seen, axis=1)
    sight = seen / depth[:, None]
    feet = rng.normal(size=(frames, 2, 3))
    valid = np.array([True, True, False, True, True, True])
    ours = solve_root_path(seen, sight, depth, centers, feet, valid, fps, True, evidence, iterations=1)

    lowest = feet[..., 1].min(axis=1, keepdims=True)
    down = 1 / (1 + ((feet[..., 1] - lowest) / evidence.foot_height_m) ** 2)

    def residuals(unknowns):
        root, scale = unknowns[:-1].reshape(frames, 3), unknowns[-1]
        parts = []
        for t in range(frames):
            far = max(depth[t], 0.5) / evidence.reference_depth_m
            miss = root[t] - scale * centers[t] - seen[t]
            along = sight[t] * (sight[t] @ miss)
            if valid[t]:
                parts += list(along / (evidence.along_m * far) + (miss - along) / (evidence.across_m * far))
            if 0 < t < frames - 1:
                second = (root[t + 1] - 2 * root[t] + root[t - 1]) * fps**2
                parts += list(second / evidence.acceleration_m_s2)
            if t and valid[t] and valid[t - 1]:
                for foot in range(2):
                    weight = np.sqrt(0.5 * (down[t, foot] + down[t - 1, foot]))
                    slip = (root[t] + feet[t, foot] - root[t - 1] - feet[t - 1, foot]) * fps
                    parts += list(weight * slip / evidence.planted_m_s)
        return np.array(parts)

    theirs = least_squares(residuals, np.zeros(3 * frames + 1), xtol=1e-14, ftol=1e-14, gtol=1e-14).x
    assert np.abs(ours.root.reshape(-1) - theirs[:-1]).max() < 1e-5
    assert abs(ours.scale - theirs[-1]) < 1e-5


@pytest.mark.parametrize("told_by", ["feet", "prior"])
def test_legs_that_are_made_up_for_a_gap_slow_nobody_down(told_by):
    """Who walks 1.2 m/s before and after half a second out of sight, walks in it too, whatever was filled in."""
    frames, fps = 60, 30.0
    ahead = np.arange(frames)[:, None] / fps * np.array([0.0, 0.0, 1.0])
    seen = np.tile([0.0, 0.0, 4.0], (frames, 1))
    valid = (np.arange(frames) < 20) | (np.arange(frames) >= 35)
    moves = np.diff(1.2 * ahead, axis=0) * (valid[1:] & valid[:-1])[:, None]  # filled in: legs that stand still
    feet = -np.concatenate([np.zeros((1, 3)), moves.cumsum(axis=0)])[:, None]
    path = solve_root_path(
        seen, seen / 4, np.full(frames, 4.0), 3 * ahead, feet, valid, fps, True, Evidence(),
        velocity=fps * moves if told_by == "prior" else None,
    )  # fmt: skip
    assert path.scale == pytest.approx(1.2 / 3, rel=1e-3)
    assert np.abs(path.root - path.root[0] - 1.2 * ahead).max() < 1e-2
    assert not path.planted[20:34].any()


def test_clean_walk_comes_out_as_it_was(body, clean_walk):
    state = initial_state(clean_walk, body, observed_bodies(clean_walk))
    metrics = TruthScore(clean_walk, body)(state.motion, state.cameras)
    assert metrics["g_mpjpe_mm"] < 60
    assert metrics["rte_percent"] < 2
    assert metrics["pa_mpjpe_mm"] < 1
    joints = body.joints(state.motion.body_pose, state.motion.global_orient, state.motion.transl, state.betas)
    assert -0.05 < float(joints[:, [10, 11], 1].min()) < 0.06  # the toes are on the floor


@pytest.mark.parametrize("origin_m", [0.0, 60.0])
def test_a_camera_that_only_turns_is_neither_lost_nor_travels(body, origin_m):
    """Wherever its world's origin is: single precision puts it at a little another place in every frame."""
    panned = simulate_observation(
        body,
        *synthetic_walk(body, num_frames=90, fps=30.0, seed=1),
        fps=30.0,
        camera="pan",
        errors=DETECTORS.scaled(0.0),
        seed=1,
    )
    moved = panned.rotation_w2c.astype(np.float64) @ np.array([origin_m, 0.7 * origin_m, 0.0])
    panned = replace(
        panned, translation_w2c=(panned.translation_w2c - moved).astype(np.float32), camera_scale="unknown"
    )
    state = initial_state(panned, body, observed_bodies(panned))
    assert state.findings["camera_lost_share"] == 0.0
    assert state.scale_known
    centers = -torch.einsum("tji,tj->ti", state.cameras.rotation_w2c, state.cameras.translation_w2c)
    assert (centers - centers[0]).abs().max() < 1e-5


def test_camera_and_body_keep_their_relation(body, clean_walk):
    """Composition moves both: seen from the camera the composed body is where it was given."""
    state = initial_state(clean_walk, body, observed_bodies(clean_walk))
    composed = body.joints(state.composed.body_pose, state.composed.global_orient, state.composed.transl, state.betas)
    seen = composed @ state.cameras.rotation_w2c.mT + state.cameras.translation_w2c[:, None]
    given = body.joints(
        state.composed.body_pose,
        roma.rotvec_to_rotmat(torch.as_tensor(clean_walk.global_orient_c)),
        torch.as_tensor(clean_walk.transl_c),
        state.betas,
    )
    assert (seen - given).abs().max() < 1e-3


def test_the_papers_start_is_the_bodies_where_the_camera_sees_them(body, clean_walk):
    """Seen from the camera, bodies are as given; cameras stand where they were given, their unit a metre; y is up."""
    state = composed_state(replace(clean_walk, camera_scale="unknown"), body, observed_bodies(clean_walk))
    joints = body.joints(state.motion.body_pose, state.motion.global_orient, state.motion.transl, state.betas)
    seen = joints @ state.cameras.rotation_w2c.mT + state.cameras.translation_w2c[:, None]
    given = body.joints(
        state.motion.body_pose,
        roma.rotvec_to_rotmat(torch.as_tensor(clean_walk.global_orient_c)),
        torch.as_tensor(clean_walk.transl_c),
        state.betas,
    )
    assert (seen - given).abs().max() < 1e-3
    centers = camera_centers(state.cameras.rotation_w2c, state.cameras.translation_w2c)
    own = -np.einsum("tji,tj->ti", clean_walk.rotation_w2c, clean_walk.translation_w2c)
    travelled = np.linalg.norm(own - own[0], axis=-1)
    assert np.allclose((centers - centers[0]).norm(dim=-1).numpy(), travelled, atol=1e-4)
    # A camera's up in its own axes is the second column of its rotation, in any world that has y up.
    off = (state.cameras.rotation_w2c[:, :, 1].numpy() * clean_walk.truth_rotation_w2c[:, :, 1]).sum(axis=-1)
    assert np.degrees(np.arccos(off.clip(-1, 1))).max() < 6
    assert abs(joints[..., 1].amin(dim=1).median()) < 0.1
    assert not state.scale_known
    assert composed_state(replace(clean_walk, camera_scale="metric"), body, observed_bodies(clean_walk)).scale_known


def test_the_papers_start_keeps_the_gravity_that_is_given(body, clean_walk):
    down = np.array([0.1, 1.0, -0.2])
    state = composed_state(replace(clean_walk, gravity_w=down), body, observed_bodies(clean_walk))
    before = clean_walk.rotation_w2c[3] @ (down / np.linalg.norm(down))
    assert np.abs(before + state.cameras.rotation_w2c[3, :, 1].numpy()).max() < 1e-5


def test_given_gravity_and_metric_scale_are_kept(body, clean_walk):
    down = np.array([0.1, 1.0, -0.2])
    told = replace(clean_walk, gravity_w=down, camera_scale="metric")
    state = initial_state(told, body, observed_bodies(told))
    assert state.findings["camera_scale"] == 1.0 and state.findings["gravity_correction_deg"] == 0.0
    # A camera's rotation takes world axes to camera axes, so the down direction is seen alike in both worlds.
    before = told.rotation_w2c[3] @ (down / np.linalg.norm(down))
    after = -state.cameras.rotation_w2c[3, :, 1].numpy()
    assert np.abs(before - after).max() < 1e-5


def test_a_camera_never_travels_backwards_whatever_the_legs_say():
    frames, fps = 40, 20.0
    ahead = np.linspace(0, 1, frames)[:, None] * np.array([0.0, 0.0, 1.0])
    seen = np.tile([0.0, 0.0, 4.0], (frames, 1))  # a follower keeps the distance
    legs = -2.0 * ahead  # legs that were estimated to walk the other way
    path = solve_root_path(
        seen, seen / 4, np.full(frames, 4.0), 3 * ahead, -legs[:, None], np.ones(frames, bool), fps, True, Evidence()
    )
    assert path.scale == pytest.approx(MIN_TRAVEL_M / 3)
    # The path is the best one for that scale: the same as for a camera that is known to travel so far.
    known = solve_root_path(
        seen, seen / 4, np.full(frames, 4.0), MIN_TRAVEL_M * ahead, -legs[:, None], np.ones(frames, bool), fps, False,
        Evidence(),
    )  # fmt: skip
    assert np.allclose(path.root, known.root, atol=1e-6)
