"""Left and right taken for each other: mended where body and neighbours agree, and nowhere else."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from diffopt.body.keypoints import mirrored_rows
from diffopt.body.model import load_body
from diffopt.initialisation import left_right_swap
from diffopt.initialisation.options import SwapOptions
from diffopt.initialisation.state import observed_bodies
from diffopt.observation.keypoint_sets import KEYPOINT_SETS
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

swap_mistaken_sides = partial(left_right_swap.swap_mistaken_sides, options=SwapOptions())


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def walk(body):
    """A walk with the errors of usual tools, but with its sides right."""
    motion = synthetic_walk(body, num_frames=60, fps=30.0, seed=2)
    errors = replace(DETECTORS, swaps_per_s=0.0, lost_per_s=0.0)
    return simulate_observation(body, *motion, fps=30.0, camera="follow", errors=errors, seed=2)


def with_swap(observation, frames):
    mirror = mirrored_rows(observation.keypoint_set)
    keypoints, confidence = observation.keypoints_px.copy(), observation.confidence.copy()
    keypoints[frames], confidence[frames] = keypoints[frames][:, mirror], confidence[frames][:, mirror]
    return replace(observation, keypoints_px=keypoints, confidence=confidence)


@pytest.mark.parametrize("keypoint_set", KEYPOINT_SETS)
def test_every_side_has_another(keypoint_set):
    names, mirror = KEYPOINT_SETS[keypoint_set], mirrored_rows(keypoint_set)
    for row, other in enumerate(mirror):
        assert mirror[other] == row
        sided = len(names[row]) == 1 and ("left_" in names[row][0] or "right_" in names[row][0])
        assert (other != row) == sided


def test_what_is_right_is_left_alone(walk, body):
    same, swapped = swap_mistaken_sides(walk, body, observed_bodies(walk))
    assert same is walk and not swapped.any()


@pytest.mark.parametrize("frames", [slice(20, 25), slice(0, 4), slice(57, 60)])
def test_a_slip_is_mended(walk, body, frames):
    wrong = with_swap(walk, frames)

    mended, swapped = swap_mistaken_sides(wrong, body, observed_bodies(wrong))

    assert swapped[frames].all() and swapped.sum() == frames.stop - frames.start
    np.testing.assert_array_equal(mended.keypoints_px, walk.keypoints_px)
    np.testing.assert_array_equal(mended.confidence, walk.confidence)


def test_a_body_that_is_the_wrong_way_round_throughout_turns_no_keypoints(walk, body):
    wrong = with_swap(walk, slice(None))
    same, swapped = swap_mistaken_sides(wrong, body, observed_bodies(wrong))
    assert same is wrong and not swapped.any()


def test_a_body_that_is_the_wrong_way_round_for_a_moment_turns_no_keypoints(walk, body):
    """The keypoints before and after speak against it."""
    bodies = observed_bodies(walk)
    about = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    orient = bodies.global_orient.clone()
    orient[20:25] = orient[20:25] @ about
    same, swapped = swap_mistaken_sides(walk, body, replace(bodies, global_orient=orient))
    assert same is walk and not swapped.any()


def test_more_than_a_slip_is_left_alone(walk, body):
    wrong = with_swap(walk, slice(10, 45))
    same, swapped = swap_mistaken_sides(wrong, body, observed_bodies(wrong))
    assert same is wrong and not swapped.any()


def test_keypoints_that_are_nowhere_seen_are_no_evidence(walk, body):
    blind = replace(walk, confidence=np.zeros_like(walk.confidence))
    same, swapped = swap_mistaken_sides(blind, body, observed_bodies(blind))
    assert same is blind and not swapped.any()
