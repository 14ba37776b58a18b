"""The scale's posterior: found in walks whose camera has any unit, and unsure where the evidence is."""

import numpy as np
import pytest

from diffopt.initialisation.options import RootTrajectoryOptions, ScaleOptions
from diffopt.initialisation.scale import scale_posterior

FPS, STRIDE_S, SPEED_M_S = 30.0, 0.5, 1.2
OPTIONS, LEAST_M = ScaleOptions(), RootTrajectoryOptions().least_travel_m


def walker(frames: int):
    """Root and two feet (from the root) of somebody who walks along z: feet stand and step in turn, metres."""
    time = np.arange(frames) / FPS
    root = np.zeros((frames, 3))
    root[:, 2] = SPEED_M_S * time
    feet = np.zeros((frames, 2, 3))
    for foot in range(2):
        steps, phase = np.divmod(time / STRIDE_S + foot, 2)
        swing = np.clip(phase - 1, 0, 1)
        feet[:, foot, 2] = 2 * SPEED_M_S * STRIDE_S * (steps + (3 - 2 * swing) * swing**2 - foot / 2)
        feet[:, foot, 1] = 0.15 * np.sin(np.pi * swing)
    return root, feet - root[:, None]


def ask(root, feet, travel, unit=1.0, velocity=None, valid=None, options=OPTIONS, segment=None):
    """The posterior for a camera that goes along `travel` (metres) and says so in its own unit."""
    valid = np.ones(len(root), bool) if valid is None else valid
    segment = np.zeros(len(root), int) if segment is None else segment
    return scale_posterior(root - travel, travel / unit, feet, valid, segment, FPS, velocity, LEAST_M, options)


def travel_of(frames: int):
    camera = np.zeros((frames, 3))
    camera[:, 2] = 1.1 * np.arange(frames) / FPS
    camera[:, 0] = 0.3 * np.sin(np.arange(frames) / FPS)
    return camera - [4.0, 0.0, 0.0]


@pytest.mark.parametrize("unit", [0.01, 1.0, 40.0])
@pytest.mark.parametrize("told_by", ["feet", "feet and prior"])
def test_standing_feet_tell_the_scale_in_any_unit(unit, told_by):
    root, feet = walker(100)
    velocity = FPS * np.diff(root, axis=0) if told_by == "feet and prior" else None
    found = ask(root, feet, travel_of(100), unit, velocity)
    assert abs(np.log(found.scale / unit)) < 0.04
    assert OPTIONS.drift <= found.log_error < 0.15


def test_a_prior_that_expects_too_little_does_not_overrule_feet_that_stand():
    root, feet = walker(100)
    velocity = 0.8 * FPS * np.diff(root, axis=0)
    assert abs(np.log(ask(root, feet, travel_of(100), 1.0, velocity).scale)) < 0.08


def test_less_evidence_is_a_wider_interval():
    root, feet = walker(100)
    short, whole = ask(root[:15], feet[:15], travel_of(100)[:15]), ask(root, feet, travel_of(100))
    assert short.log_error > 1.3 * whole.log_error


def test_a_second_answer_is_told():
    """Two parts of a clip that contradict each other by a factor of 3."""
    root, feet = walker(120)
    travel = travel_of(120) * [0.0, 0.0, 1.0]
    camera = np.concatenate([travel[:48], travel[48] + (travel[48:] - travel[48]) / 3])
    found = ask_two(root - travel, camera, feet)
    answers = [found.scale, *found.rivals]
    assert {min((1.0, 3.0), key=lambda true: abs(np.log(answer / true))) for answer in answers} == {1.0, 3.0}


def ask_two(seen, centers, feet):
    whole = np.ones(len(seen), bool)
    return scale_posterior(seen, centers, feet, whole, np.zeros(len(seen), int), FPS, None, LEAST_M, OPTIONS)


def test_frames_that_were_not_seen_say_nothing():
    root, feet = walker(100)
    travel = travel_of(100)
    made_up = root.copy()
    made_up[30:60] += np.random.default_rng(0).normal(size=(30, 3))
    valid = ~((np.arange(100) >= 30) & (np.arange(100) < 60))
    assert abs(np.log(ask(made_up, feet, travel, valid=valid).scale)) < 0.06
    nothing = ask(root, feet, travel, valid=np.zeros(100, bool))
    assert np.isfinite(nothing.scale) and nothing.log_error > 1


@pytest.mark.parametrize("told_by", ["feet", "feet and prior"])
def test_jumps_between_segments_of_the_camera_say_nothing(told_by):
    """The posterior is the same as without them."""
    root, feet = walker(120)
    travel, segment = travel_of(120), np.arange(120) // 12
    jumps = np.random.default_rng(0).normal(size=(10, 3))[segment]
    velocity = FPS * np.diff(root, axis=0) if told_by == "feet and prior" else None
    smooth, jumped = (
        scale_posterior(root - travel, camera, feet, np.ones(120, bool), segment, FPS, velocity, LEAST_M, OPTIONS)
        for camera in (travel, travel + jumps)
    )
    assert jumped.scale == pytest.approx(smooth.scale, rel=1e-2)
    assert jumped.log_error == pytest.approx(smooth.log_error, rel=1e-2)


def test_a_camera_never_travels_backwards_whatever_the_legs_say():
    """Legs that were estimated to walk the other way: the camera goes hardly anywhere, and that is unsure."""
    root, feet = walker(100)
    travel = travel_of(100) * [0.0, 0.0, 1.0]
    beside = np.tile([4.0, 0.0, 0.0], (100, 1))
    found = ask(beside + travel, feet * [1.0, 1.0, -1.0], travel, velocity=-FPS * np.diff(root, axis=0))
    assert LEAST_M <= found.scale * np.linalg.norm(travel - travel[0], axis=-1).max() * 1.001 < 0.1
    assert found.log_error > 0.3
