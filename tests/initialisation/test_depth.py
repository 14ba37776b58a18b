"""Initial bodies at the wrong distance, put back to where their keypoints see them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffopt.body.model import load_body
from diffopt.fitting.batch import sequence_batch
from diffopt.initialisation.depth import move_to_keypoint_depth
from diffopt.initialisation.options import DepthOptions
from diffopt.initialisation.state import observed_bodies
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module")
def clean(body) -> Observation:
    motion = synthetic_walk(body, num_frames=40, fps=30.0, seed=1)
    return simulate_observation(body, *motion, fps=30.0, camera="follow", errors=DETECTORS.scaled(0.0), seed=1)


def _farther(observation: Observation, body, factor: float | np.ndarray) -> Observation:
    """Pelves moved along their rays."""
    rest = body.rest_joints(torch.as_tensor(observation.betas).float())[0].numpy()
    return replace(observation, transl_c=(factor * (observation.transl_c + rest) - rest).astype(np.float32))


def _placed(observation: Observation, body) -> Motion:
    focal, center = torch.as_tensor(observation.focal_px), torch.as_tensor(observation.center_px)
    seen = sequence_batch(observation, 0.3, 0.01)
    keypoints = (seen.keypoints_px, seen.confidence, seen.regressor)
    return move_to_keypoint_depth(
        observed_bodies(observation), body, seen.betas, *keypoints, focal, center, DepthOptions()
    )


@pytest.mark.parametrize("factor", [0.85, 1.0, 1.3])
def test_bodies_of_the_right_size_are_put_where_they_were(body, clean, factor):
    wrong = _farther(clean, body, factor)
    keypoints, confidence = wrong.keypoints_px.copy(), wrong.confidence.copy()
    keypoints[:, 3] += 400.0  # one keypoint of somebody else
    keypoints[9], keypoints[10] = 100.0, clean.center_px[10]  # all in one pixel
    confidence[:8, 4:] = 0.0  # too few
    wrong = replace(wrong, keypoints_px=keypoints, confidence=confidence)
    placed = _placed(wrong, body)
    assert np.abs(placed.transl.numpy() - clean.transl_c).max() < 0.005
    assert torch.equal(placed.body_pose, observed_bodies(wrong).body_pose)


def test_one_factor_for_the_clip_keeps_what_the_estimator_says_of_single_frames(body, clean):
    wave = 1 + 0.05 * np.sin(np.arange(40))[:, None]
    wrong = _farther(clean, body, 0.8 * wave)
    placed = _placed(wrong, body)
    assert np.abs(placed.transl.numpy() - _farther(clean, body, wave).transl_c).max() < 0.1
    moved = placed.transl - observed_bodies(wrong).transl
    rest = body.rest_joints(torch.as_tensor(wrong.betas).float())[0]
    assert (moved / (observed_bodies(wrong).transl + rest))[:, 2].std() < 1e-5


def test_bodies_without_keypoints_of_theirs_stay_where_they_are(body, clean):
    unseen = replace(clean, confidence=np.zeros_like(clean.confidence))
    elsewhere = _farther(clean, body, 20.0)
    for observation in (unseen, elsewhere):
        assert torch.equal(_placed(observation, body).transl, observed_bodies(observation).transl)
