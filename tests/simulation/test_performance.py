"""Captured motion on another body, and clips in a row."""

import pytest
import roma
import torch

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.mocap.clip import MotionClip
from diffopt.simulation.performance import concatenate, retarget
from diffopt.simulation.walk import synthetic_walk


@pytest.fixture(scope="module")
def clip():
    body = load_body()
    pose, orient, transl, betas = synthetic_walk(body, 60, 30.0, seed=1)
    skeleton = body.skeleton(betas)
    rotations = roma.rotvec_to_rotmat(torch.cat([orient[:, None], pose[:, : BODY_JOINTS - 1]], dim=1).float())
    offsets = torch.cat([torch.zeros(1, 3), skeleton[1:BODY_JOINTS]])
    return MotionClip("walk", "nobody", "locomotion", 30.0, rotations, transl.float() + skeleton[0], offsets)


def test_a_taller_performer_walks_farther_on_the_same_floor_with_feet_as_still(clip):
    body = load_body()
    small, tall = torch.zeros(10), torch.zeros(10)
    tall[0] = 2.0
    paths, slides = [], []
    for betas in (small, tall):
        pose, orient, transl, _ = retarget(clip, body, betas)
        motion = (roma.rotvec_to_rotmat(pose), roma.rotvec_to_rotmat(orient), transl, betas)
        feet = body.landmarks(*motion)[:, FOOT_POINTS]
        soles = feet[..., 1] - body.sole_heights(betas)
        assert abs(float(torch.quantile(soles.amin(dim=1), 0.05))) < 1e-4
        paths.append(float((transl[-1] - transl[0]).norm()))
        slides.append(float((feet[1:] - feet[:-1]).norm(dim=-1).amin(dim=1).median()))
    legs = [sum(float(body.skeleton(betas)[joint].norm()) for joint in (4, 7)) for betas in (small, tall)]
    assert paths[1] / paths[0] == pytest.approx(legs[1] / legs[0], rel=0.02)
    assert max(slides) < 0.006  # metres per frame, at 1 m/s and more a walker's swinging foot makes 0.07


def test_a_chain_has_no_seams_and_keeps_its_heading(clip):
    long = concatenate([clip, clip, clip])
    overlap = 12
    assert len(long.root) == 3 * 60 - 2 * overlap
    step = long.root.diff(dim=0).norm(dim=-1)
    assert float(step.max()) < 1.5 * float(clip.root.diff(dim=0).norm(dim=-1).max())
    turn = roma.rotmat_geodesic_distance(long.rotations[1:], long.rotations[:-1])
    once = roma.rotmat_geodesic_distance(clip.rotations[1:], clip.rotations[:-1])
    assert float(turn.max()) < 1.5 * float(once.max()) + 0.05
    # The second walker sets out where the first one was headed.
    ahead = (long.root[100] - long.root[60])[[0, 2]]
    before = (clip.root[-1] - clip.root[-overlap])[[0, 2]]
    assert float(torch.nn.functional.cosine_similarity(ahead, before, dim=0)) > 0.9
