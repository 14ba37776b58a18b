import math

import pytest
import torch

from diffopt.body.keypoints import FOOT_LANDMARKS, LANDMARK_NAMES
from diffopt.body.model import load_body
from diffopt.evaluation.metrics import jitter
from diffopt.motion.motion import Motion
from diffopt.simulation.walk import synthetic_walk

FPS = 30.0
FEET = [LANDMARK_NAMES.index(name) for pair in FOOT_LANDMARKS.values() for name in pair]


@pytest.fixture(scope="module")
def body():
    return load_body()


@pytest.fixture(scope="module", params=[0, 1, 7])
def walk(request, body):
    *motion, betas = synthetic_walk(body, 90, FPS, seed=request.param)
    return Motion.from_axis_angle(*motion), betas


def landmarks(body, walk):
    motion, betas = walk
    return body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas).double()


def test_standing_feet_do_not_slide(body, walk):
    feet = landmarks(body, walk)[:, FEET]
    step = feet.diff(dim=0).norm(dim=-1)
    # The big toe of a foot that stands: from flat on the floor to push-off.
    toes = step[:, [1, 3]]
    lowest = feet[..., 1].amin(dim=0)[[1, 3]]
    stands = (feet[:-1, [1, 3], 1] < lowest + 0.003) & (feet[1:, [1, 3], 1] < lowest + 0.003)

    assert 0.4 < stands.double().mean() < 0.8
    assert toes[stands].median() < 2e-4
    assert (toes < 0.005)[stands].double().mean() > 0.95  # the rest is landing and lifting


def test_one_foot_always_stands_and_the_sole_is_on_the_floor(body, walk):
    motion, betas = walk
    feet = landmarks(body, walk)[:, FEET]
    lowest = body.vertices(motion.body_pose[::6], motion.global_orient[::6], motion.transl[::6], betas)[..., 1].amin(
        dim=1
    )

    assert feet.diff(dim=0).norm(dim=-1).amin(dim=1).max() < 0.003
    assert lowest.abs().max() < 0.01


def test_the_walk_goes_where_it_faces_at_a_human_pace(body, walk):
    motion, _ = walk
    joints = landmarks(body, walk)[:, :24]
    steps = joints[:, 0].diff(dim=0)[:, [0, 2]] * FPS
    facing = motion.global_orient[:-1, :, 2][:, [0, 2]].double()

    assert 0.7 < steps.norm(dim=-1).mean() < 1.5
    assert torch.nn.functional.cosine_similarity(steps, facing).min() > math.cos(math.radians(12))
    assert jitter(joints, FPS).mean() < 10


def test_bones_and_knees_stay_those_of_a_person(walk, body):
    motion, _ = walk
    knee = torch.stack([motion.body_pose[:, 3], motion.body_pose[:, 4]])
    bend = torch.atan2(knee[..., 2, 1], knee[..., 2, 2])

    assert bend.min() > 0.05 and bend.max() < 1.4  # never stretched beyond straight, never folded


def test_the_seed_decides(body):
    first, again, other = (synthetic_walk(body, 20, FPS, seed) for seed in (3, 3, 4))

    for one, two in zip(first, again, strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(first[3], other[3]) and not torch.allclose(first[0], other[0], atol=1e-2)
    assert [part.shape for part in first] == [(20, 23, 3), (20, 3), (20, 3), (10,)]
