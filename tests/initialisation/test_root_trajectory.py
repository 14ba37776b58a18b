"""Root trajectory and scale against a general solver, and where the evidence is thin."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from diffopt.initialisation.options import Evidence, RootTrajectoryOptions
from diffopt.initialisation.root_trajectory import solve_root_trajectory

LEAST_M = RootTrajectoryOptions().least_travel_m


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
    ours = solve_root_trajectory(seen, sight, depth, centers, feet, valid, fps, True, evidence, LEAST_M, iterations=1)

    lowest = feet[..., 1].min(axis=1, keepdims=True)
    down = 1 / (1 + ((feet[..., 1] - lowest) / evidence.foot_height_m) ** 2)

    def residuals(unknowns):
        root, scale = unknowns[:-1].reshape(frames, 3), unknowns[-1]
        parts = []
        for t in range(frames):
            far = max(depth[t], 0.5)
            miss = root[t] - scale * centers[t] - seen[t]
            along = sight[t] * (sight[t] @ miss)
            if valid[t]:
                parts += list(along / (evidence.along * far) + (miss - along) / (evidence.across_rad * far))
            if 0 < t < frames - 1:
                second = (root[t + 1] - 2 * root[t] + root[t - 1]) * fps**2
                parts += list(second / evidence.acceleration_m_s2)
            if t and valid[t] and valid[t - 1]:
                for foot in range(2):
                    weight = np.sqrt(0.5 * (down[t, foot] + down[t - 1, foot]))
                    slip = (root[t] + feet[t, foot] - root[t - 1] - feet[t - 1, foot]) * fps
                    parts += list(weight * slip / evidence.contact_m_s)
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
    path = solve_root_trajectory(
        seen, seen / 4, np.full(frames, 4.0), 3 * ahead, feet, valid, fps, True, Evidence(), LEAST_M,
        velocity=fps * moves if told_by == "prior" else None,
    )  # fmt: skip
    assert path.scale == pytest.approx(1.2 / 3, rel=1e-3)
    assert np.abs(path.root - path.root[0] - 1.2 * ahead).max() < 1e-2
    assert not path.contact[20:34].any()


def test_a_camera_never_travels_backwards_whatever_the_legs_say():
    frames, fps = 40, 20.0
    ahead = np.linspace(0, 1, frames)[:, None] * np.array([0.0, 0.0, 1.0])
    seen = np.tile([0.0, 0.0, 4.0], (frames, 1))  # a follower keeps the distance
    legs = -2.0 * ahead  # legs that were estimated to walk the other way
    path = solve_root_trajectory(
        seen,
        seen / 4,
        np.full(frames, 4.0),
        3 * ahead,
        -legs[:, None],
        np.ones(frames, bool),
        fps,
        True,
        Evidence(),
        LEAST_M,
    )
    assert path.scale == pytest.approx(LEAST_M / 3)
    # The path is the best one for that scale: the same as for a camera that is known to travel so far.
    known = solve_root_trajectory(
        seen, seen / 4, np.full(frames, 4.0), LEAST_M * ahead, -legs[:, None], np.ones(frames, bool), fps, False,
        Evidence(), LEAST_M,
    )  # fmt: skip
    assert np.allclose(path.root, known.root, atol=1e-6)
