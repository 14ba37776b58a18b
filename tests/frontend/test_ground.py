"""Gravity and scale from a ground whose truth is known."""

import numpy as np

from diffopt.frontend.ground import find_ground

FRAMES, METRES_PER_UNIT = 40, 2.5


def scene(feet_agree=True, ground_points=150):
    """A camera at 1.5 m walks past a person 4 m away; points of the floor and of a wall, in units of 2.5 m."""
    rng = np.random.default_rng(0)
    centers = np.stack([np.linspace(0, 2, FRAMES), np.full(FRAMES, 1.5), np.zeros(FRAMES)], axis=1)
    rotation = np.tile(np.diag([1.0, -1.0, 1.0]) @ np.diag([-1.0, 1.0, 1.0]), (FRAMES, 1, 1))
    floor = np.stack([rng.uniform(-3, 3, ground_points), np.zeros(ground_points), rng.uniform(2, 7, ground_points)], 1)
    wall = np.stack([rng.uniform(-3, 3, 120), rng.uniform(0, 3, 120), 7 + rng.normal(0, 0.3, 120)], axis=1)
    feet = np.array([[0.1, 0.0, 4.0], [-0.1, 0.15, 4.2]])  # one stands, one is raised
    soles_w = np.tile(feet, (FRAMES, 1, 1))
    soles_c = np.einsum("tij,tfj->tfi", rotation, soles_w - centers[:, None])
    if not feet_agree:
        soles_c = soles_c * rng.uniform(0.5, 2.0, (FRAMES, 1, 1))
    translation = -np.einsum("tij,tj->ti", rotation, centers) / METRES_PER_UNIT
    points = np.concatenate([floor, wall]) / METRES_PER_UNIT
    return points, rotation, translation, soles_c, np.array([0.1, 1.0, -0.05]), np.ones(FRAMES, bool)


def test_finds_gravity_and_scale():
    ground = find_ground(*scene())
    assert ground is not None
    assert np.degrees(np.arccos(np.clip(-ground.down_w[1], -1, 1))) < 0.5
    assert abs(ground.scale - METRES_PER_UNIT) < 0.03 * METRES_PER_UNIT
    assert ground.points >= 140


def test_feet_that_disagree_or_too_few_points_make_no_ground():
    assert find_ground(*scene(feet_agree=False)) is None
    assert find_ground(*scene(ground_points=20)) is None
