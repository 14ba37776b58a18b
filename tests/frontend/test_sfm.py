"""A travelling camera's path, up to scale, on every frame."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffopt.frontend.sfm import solve_travel
from diffopt.frontend.tracks import Tracks, choose_keyframes
from tests.frontend.worlds import FOCAL_PX, SIZE, angles_deg, track_points, turn

FRAMES = 30


def path() -> tuple[np.ndarray, np.ndarray]:
    time = np.linspace(0, 1, FRAMES)
    # A trembling hand: what lies between two keyframes cannot be interpolated.
    tremble = Rotation.from_rotvec(np.random.default_rng(5).normal(0, 0.005, (FRAMES, 3))).as_matrix()
    rotation = tremble @ turn(FRAMES, -12)
    centers = np.column_stack([2.5 * time, 0.1 * np.sin(6 * time), 0.8 * time])
    return rotation, -np.einsum("tij,tj->ti", rotation, centers)


def errors(travel, rotation, translation) -> tuple[float, float]:
    """Worst position, metres, after the best similarity; worst rotation, degrees."""
    found = -np.einsum("tji,tj->ti", travel.rotation_w2c, travel.translation_w2c)
    truth = -np.einsum("tji,tj->ti", rotation, translation)
    # The world of the answer is turned against the truth by the same rotation in all frames.
    align = Rotation.from_matrix(np.einsum("tji,tjk->tik", rotation, travel.rotation_w2c)).mean().as_matrix()
    a, b = (found - found.mean(0)) @ align.T, truth - truth.mean(0)
    scale = (a * b).sum() / (a * a).sum()
    return float(np.abs(scale * a - b).max()), float(angles_deg(travel.rotation_w2c @ align.T, rotation).max())


@pytest.fixture(scope="module")
def tracks() -> Tracks:
    return track_points(*path(), noise_px=0.15, points=150)


def test_path_of_every_frame(tracks):
    travel = solve_travel(tracks, FRAMES, SIZE, FOCAL_PX, 0.3, refine_focal=False)

    assert travel is not None
    assert travel.keyframes < FRAMES
    assert travel.registered.all()
    assert travel.focal_px == FOCAL_PX
    position, angle = errors(travel, *path())
    assert position < 0.03
    assert angle < 0.2


def test_focal_length_is_found(tracks):
    travel = solve_travel(tracks, FRAMES, SIZE, 1.15 * FOCAL_PX, 0.3, refine_focal=True)

    assert travel is not None
    assert travel.focal_px == pytest.approx(FOCAL_PX, rel=0.03)
    assert 0 < travel.focal_spread < 0.2


def test_a_camera_that_turns_gives_no_model():
    tracks = track_points(turn(12, 20), np.zeros((12, 3)), noise_px=0.05, points=100)

    assert solve_travel(tracks, 12, SIZE, FOCAL_PX, 0.3, refine_focal=False) is None


def test_keyframes_follow_the_picture(tracks):
    moving = choose_keyframes(tracks, FRAMES)
    still = choose_keyframes(track_points(np.tile(np.eye(3), (FRAMES, 1, 1)), np.zeros((FRAMES, 3))), FRAMES)

    assert moving[0] == still[0] == 0
    assert moving[-1] == still[-1] == FRAMES - 1
    assert len(still) < len(moving) < FRAMES
    assert np.diff(still).max() <= 15
