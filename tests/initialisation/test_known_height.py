"""A known height sizes the body and moves it away, and the picture stays as it was."""

from dataclasses import replace

import pytest
import torch

from diffopt.body.model import load_body
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.body.stature import stature
from diffopt.initialisation.known_height import with_known_height
from diffopt.simulation.synthetic import simulate_observation
from diffopt.simulation.walk import synthetic_walk


@pytest.fixture
def observation():
    body = load_body()
    return simulate_observation(body, *synthetic_walk(body, 5, 30.0), fps=30.0, seed=0)


def test_the_body_gets_its_height_and_keeps_its_place_in_the_picture(observation):
    body = load_body()
    observation = replace(observation, height_m=1.93)
    sized = with_known_height(observation, body)
    assert abs(float(stature(body, torch.as_tensor(sized.betas))) - 1.93) < 1e-4

    def pelvis(one):
        rest = body.rest_joints(torch.as_tensor(one.betas))[JOINT_INDEX["pelvis"]]
        return torch.as_tensor(one.transl_c) + rest

    before, after = pelvis(observation), pelvis(sized)
    assert torch.allclose(after[:, :2] / after[:, 2:], before[:, :2] / before[:, 2:], atol=1e-5)
    ratio = 1.93 / float(stature(body, torch.as_tensor(observation.betas)))
    assert torch.allclose(after[:, 2] / before[:, 2], torch.tensor(ratio), rtol=1e-4)
    # Nothing is left to change the second time.
    assert with_known_height(sized, body).betas == pytest.approx(sized.betas, abs=1e-4)


def test_an_unknown_height_changes_nothing(observation):
    assert with_known_height(observation, load_body()) is observation
