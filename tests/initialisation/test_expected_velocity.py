"""What the shipped prior expects of legs: a walk's own velocity, at any frame rate, whichever way it goes."""

import pytest
import roma
import torch

from diffopt.body.model import load_body
from diffopt.initialisation.expected_velocity import expected_velocity
from diffopt.initialisation.options import ExpectedVelocityOptions
from diffopt.motion.foot_contact import StanceOptions
from diffopt.motion.motion import Motion
from diffopt.prior.motion_prior import load_prior
from diffopt.simulation.synthetic import synthetic_walk

OPTIONS = StanceOptions(), ExpectedVelocityOptions()


@pytest.fixture(scope="module")
def body():
    return load_body()


def walk(body, fps):
    body_pose, global_orient, transl, betas = synthetic_walk(body, num_frames=int(4 * fps), fps=fps, seed=0)
    return Motion.from_axis_angle(body_pose, global_orient, transl), betas


@pytest.mark.parametrize("fps", [24.0, 60.0])
def test_a_walk_is_expected_to_go_where_it_goes(body, fps):
    motion, betas = walk(body, fps)
    velocity = expected_velocity(load_prior(), motion.body_rotations(), body.skeleton(betas), fps, *OPTIONS)
    true = motion.transl[1:] - motion.transl[:-1]
    travelled, expected = true.sum(dim=0)[[0, 2]], (velocity / fps).sum(dim=0)[[0, 2]]
    assert len(velocity) == len(motion) - 1
    assert (expected - travelled).norm() < 0.12 * travelled.norm()


def test_turning_the_world_turns_the_velocity(body):
    motion, betas = walk(body, 30.0)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, 1.0, 0.0]))
    rotations = motion.body_rotations()
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    prior, skeleton = load_prior(), body.skeleton(betas)
    there = expected_velocity(prior, turned, skeleton, 30.0, *OPTIONS)
    here = expected_velocity(prior, rotations, skeleton, 30.0, *OPTIONS)
    assert torch.allclose(there, here @ turn.mT, atol=2e-3)


def test_a_clip_without_a_stride_says_nothing(body):
    motion, betas = walk(body, 30.0)
    assert expected_velocity(load_prior(), motion.body_rotations()[:10], body.skeleton(betas), 30.0, *OPTIONS) is None


def test_only_runners_are_hastened(body, monkeypatch):
    """A prior that finds 1 m/s, and one that finds 4: the first is believed but for the usual gain, the second less."""
    prior = load_prior()
    motion, betas = walk(body, 30.0)

    def found(speed: float) -> float:
        def path(rotations, joints, *belief):
            steps = torch.arange(joints.shape[1]) * speed / prior.fps
            return torch.stack([0 * steps, 0 * steps, steps], dim=-1).expand(len(joints), -1, 3)

        monkeypatch.setattr(prior, "path_from_articulation", path)
        velocity = expected_velocity(prior, motion.body_rotations(), body.skeleton(betas), 30.0, *OPTIONS)
        return float(velocity[:, 2].mean()) / speed

    assert found(1.0) == pytest.approx(OPTIONS[1].speed_gain, rel=0.01)
    assert found(4.0) == pytest.approx(OPTIONS[1].speed_gain * OPTIONS[1].run_gain, rel=0.01)
