import pytest
import roma
import torch

from diffopt.body.skeleton import PARENTS
from diffopt.geometry.alignment import heading_rotation
from diffopt.mocap.clip import AVERAGE_OFFSETS, pose
from diffopt.motion.foot_contact import TOES
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.draw import (
    draw,
    motion_from_features,
    motion_from_joints,
    on_path_of_feet,
    smoothed_by_linear_estimate,
)
from diffopt.prior.features import SLICES, features_from_motion
from diffopt.prior.motion_prior import MotionPrior, PriorDescription
from tests.random_motion import random_motion


@pytest.fixture
def prior() -> MotionPrior:
    torch.manual_seed(0)
    made = MotionPrior(PriorDescription(DenoiserSize(width=32, depth=1, heads=2), num_steps=50, window=16))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return made.eval().requires_grad_(False)


def test_a_motion_comes_back_from_its_features():
    """Up to where it started and which way it faced, which features do not say."""
    rotations, root, joints = random_motion(25)

    again = motion_from_features(features_from_motion(rotations, joints, 20.0)[None], 20.0)

    first = heading_rotation(rotations[0, 0]).mT
    torch.testing.assert_close(again.rotations[0, :, 1:], rotations[:-1, 1:])
    torch.testing.assert_close(again.rotations[0, :, 0], first @ rotations[:-1, 0])
    path = (root - root[0] * torch.tensor([1.0, 0.0, 1.0])) @ first.mT
    torch.testing.assert_close(again.root[0], path[:-1])


def test_draws_are_rotations_that_a_seed_repeats(prior):
    one, same, other = (
        draw(prior, 3, 12, 5, torch.Generator().manual_seed(seed), AVERAGE_OFFSETS) for seed in (0, 0, 1)
    )

    assert one.rotations.shape == (3, 12, 22, 3, 3) and one.root.shape == (3, 12, 3)
    identity = torch.eye(3).expand_as(one.rotations)
    torch.testing.assert_close(one.rotations @ one.rotations.mT, identity, atol=1e-5, rtol=0)
    assert torch.equal(one.root, same.root) and not torch.equal(one.root, other.root)
    assert one.root[:, 0, [0, 2]].abs().max() == 0
    assert not torch.allclose(one.root[0], one.root[1])


def test_a_prior_that_knows_one_motion_draws_it(prior, monkeypatch):
    rotations, _, joints = random_motion(13, dtype=torch.float32)
    known = prior.features(rotations, joints)
    monkeypatch.setattr(prior, "denoise", lambda noised, *_: known.expand_as(noised))

    drawn = draw(prior, 2, 12, 50, torch.Generator().manual_seed(0), AVERAGE_OFFSETS)

    torch.testing.assert_close(drawn.rotations[1, :, 1:], rotations[:-1, 1:], atol=0.05, rtol=0)


def test_motions_are_smoothed_when_they_are_drawn(prior, monkeypatch):
    asked = []
    monkeypatch.setattr("diffopt.prior.draw.smoothed_by_linear_estimate", lambda _, drawn: asked.append(drawn) or drawn)
    draw(prior, 2, 12, 5, torch.Generator().manual_seed(0), AVERAGE_OFFSETS)
    assert [drawn.shape[:2] for drawn in asked] == [(2, 12)]


def test_what_is_too_fast_for_motion_is_settled(prior):
    """A slow wave stays, a tremble of the same size goes, once the prior has seen slow motions."""
    time = torch.arange(16)[:, None] / 16
    waves = torch.cos(torch.pi * (time + 1 / 32) * torch.arange(3)) @ torch.randn(40, 3, len(prior.mean))
    prior.denoiser.linear.learn(waves)
    slow = waves[:4]
    tremble = torch.tensor([1.0, -1.0]).repeat(8)[:, None] * torch.ones(len(prior.mean))

    left = smoothed_by_linear_estimate(prior, slow + tremble) - smoothed_by_linear_estimate(prior, slow)

    assert left.norm() < 0.1 * tremble.expand_as(slow).norm()
    assert (smoothed_by_linear_estimate(prior, slow) - slow).norm() < 0.1 * slow.norm()


def test_feet_of_drawn_poses_stand():
    """Whatever velocity the features gave the foot in contact: that of the poses counts."""
    rotations, root, _ = random_motion(31, dtype=torch.float32)
    root = torch.zeros_like(root) + root[0]
    features = features_from_motion(rotations, pose(rotations, root, AVERAGE_OFFSETS), 20.0)[None]
    features[..., SLICES["velocity_residual"]] = 0
    features[..., SLICES["contact_velocity"]] += 1.0
    drawn = motion_from_features(features, 20.0)

    steps = [
        pose(motion.rotations, motion.root, AVERAGE_OFFSETS)[0, :, TOES].diff(dim=0)[..., [0, 2]].norm(dim=-1)
        for motion in (drawn, on_path_of_feet(drawn, features, 20.0, AVERAGE_OFFSETS))
    ]

    assert steps[1].amin(dim=1).median() < 0.3 * steps[0].amin(dim=1).median()


def test_more_frames_than_the_prior_knows_are_refused(prior):
    with pytest.raises(ValueError, match="windows of 16 frames, not 17"):
        draw(prior, 1, 17, 5, torch.Generator(), AVERAGE_OFFSETS)


def test_joints_come_back_as_a_body_of_another_size():
    """Bones point as they did; the path grows with the legs, and the lowest joint stays over the floor."""
    rotations, _, joints = random_motion(20)
    joints = joints - joints[..., 1].min() * torch.tensor([0.0, 1.0, 0.0])

    body = motion_from_joints(joints[None], 1.2 * AVERAGE_OFFSETS)

    again = pose(body.rotations, body.root, 1.2 * AVERAGE_OFFSETS)[0]
    bones, expected = again[:, 1:] - again[:, PARENTS[1:22]], joints[:, 1:] - joints[:, PARENTS[1:22]]
    torch.testing.assert_close(bones, 1.2 * expected.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(again[:, 0, [0, 2]], 1.2 * joints[:, 0, [0, 2]].float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(again[..., 1].amin(dim=1), joints[..., 1].amin(dim=1).float() + 0.02, atol=1e-5, rtol=0)
    torch.testing.assert_close(body.rotations[0, :, 0], rotations[:, 0].float(), atol=1e-4, rtol=0)


def test_a_bone_twists_as_its_parent_does():
    """What joints leave open: the shin only swings against the thigh, about an axis that lies across it."""
    *_, joints = random_motion(20)

    swing = roma.rotmat_to_rotvec(motion_from_joints(joints[None], AVERAGE_OFFSETS).rotations[0, :, 4])

    assert swing.norm(dim=-1).max() > 0.1
    assert (swing @ AVERAGE_OFFSETS[7]).abs().max() < 1e-4
