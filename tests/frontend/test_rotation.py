"""A turning camera is found with its focal length, over long clips and through outliers."""

import numpy as np
import pytest

from diffopt.errors import DiffoptError
from diffopt.frontend import rotation
from diffopt.frontend.rotation import solve_turning
from diffopt.frontend.tracks import Tracks
from tests.frontend.worlds import CENTER, FOCAL_PX, angles_deg, track_points, turn

STILL = np.zeros((40, 3))


def test_rotation_and_focal_length_of_a_pan():
    truth = turn(40, 25)
    found = solve_turning(track_points(truth, STILL), 40, 640.0, CENTER, refine_focal=True)

    assert found.focal_px == pytest.approx(FOCAL_PX, rel=0.01)
    assert angles_deg(found.rotation_w2c, truth).max() < 0.2
    assert found.residual_px < 0.2
    assert found.explained > 0.99
    assert found.focal_spread < 0.01


def test_a_given_focal_length_is_kept():
    truth = turn(40, 25)
    found = solve_turning(track_points(truth, STILL), 40, FOCAL_PX, CENTER, refine_focal=False)

    assert found.focal_px == FOCAL_PX
    assert angles_deg(found.rotation_w2c, truth).max() < 0.03


def test_the_focal_length_is_the_less_certain_the_noisier_the_tracks_and_the_smaller_the_turn():
    def spread(degrees: float, noise_px: float) -> float:
        tracks = track_points(turn(20, degrees), STILL[:20], noise_px, points=150)
        return solve_turning(tracks, 20, 600.0, CENTER, refine_focal=True).focal_spread

    assert spread(8.0, 0.3) > 2 * spread(8.0, 0.1)
    assert spread(0.3, 0.1) > 2 * spread(8.0, 0.1)


def test_moving_things_are_outvoted():
    truth = turn(40, 25)
    clean = track_points(truth, STILL)
    moving = clean.point % 4 == 0
    drift = np.where(moving[:, None], 0.7 * clean.frame[:, None] * [1.0, 0.4], 0.0)
    found = solve_turning(
        Tracks(clean.frame, clean.point, clean.xy_px + drift, 1.0), 40, FOCAL_PX, CENTER, refine_focal=False
    )

    assert angles_deg(found.rotation_w2c, truth).max() < 0.1
    assert 0.6 < found.explained < 0.95


def test_a_long_clip_is_solved_at_some_frames_and_filled(monkeypatch):
    monkeypatch.setattr(rotation, "_MAX_FRAMES", 12)
    truth = turn(40, 25)
    found = solve_turning(track_points(truth, STILL), 40, FOCAL_PX, CENTER, refine_focal=False)

    assert angles_deg(found.rotation_w2c, truth).max() < 0.05


def test_parallax_is_not_explained():
    path = np.column_stack([np.linspace(0, 2, 40), np.zeros(40), np.zeros(40)])
    found = solve_turning(track_points(turn(40, 10), path), 40, FOCAL_PX, CENTER, refine_focal=True)

    assert found.explained < 0.7


def test_a_cut_is_told():
    first, second = track_points(turn(10, 5), STILL[:10]), track_points(turn(10, 5), STILL[:10], seed=1)
    cut = Tracks(
        np.concatenate([first.frame, second.frame + 10]),
        np.concatenate([first.point, second.point + 100_000]),
        np.concatenate([first.xy_px, second.xy_px]),
        1.0,
    )

    with pytest.raises(DiffoptError, match="from frame 9 to 10: 0 points"):
        solve_turning(cut, 20, FOCAL_PX, CENTER, refine_focal=False)
