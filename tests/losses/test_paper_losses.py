"""The paper's losses against loops over frames and keypoints, and their gradients in float64."""

import math

import roma
import torch

from diffopt.losses.reprojection import reprojection_loss
from diffopt.losses.warmup import articulation_loss, warmup_loss
from diffopt.motion.motion import Motion


def motions(seed=0, frames=4):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Motion.from_axis_angle(draw(frames, 23, 3), draw(frames, 3), draw(frames, 3))


def test_warmup_equals_a_loop_over_angles():
    """|R1 - R2|_F^2 = 4 (1 - cos angle): the distance by another road."""
    one, two = motions(0), motions(1)
    trust = torch.tensor([1.0, 0.0, 0.5, 1.0], dtype=torch.float64)
    expected = 0.0
    for frame in range(4):
        term = 0.0
        for joint in range(23):
            angle = roma.rotmat_geodesic_distance(one.body_pose[frame, joint], two.body_pose[frame, joint])
            term += 4 * (1 - math.cos(float(angle)))
        angle = roma.rotmat_geodesic_distance(one.global_orient[frame], two.global_orient[frame])
        term += 4 * (1 - math.cos(float(angle)))
        term += float((one.transl[frame] - two.transl[frame]) @ (one.transl[frame] - two.transl[frame]))
        expected += float(trust[frame]) * term / 4
    assert abs(float(warmup_loss(one, two, trust)) - expected) < 1e-6


def test_warmup_is_zero_only_at_the_initial_motion():
    one, trust = motions(0), torch.ones(4, dtype=torch.float64)
    assert warmup_loss(one, one, trust) < 1e-20
    moved = Motion(one.body_pose, one.global_orient, one.transl + 0.1)
    assert abs(float(warmup_loss(moved, one, trust)) - 0.03) < 1e-9
    assert articulation_loss(moved.body_pose, one.body_pose, trust) < 1e-20


def test_reprojection_equals_a_loop():
    generator = torch.Generator().manual_seed(0)
    joints = 30 * torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    keypoints = 30 * torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    confidence = torch.rand(3, 5, generator=generator, dtype=torch.float64)
    expected = 0.0
    for frame in range(3):
        for joint in range(5):
            x, y = (joints[frame, joint] - keypoints[frame, joint]).tolist()
            r2 = x * x + y * y
            expected += float(confidence[frame, joint]) * r2 / (r2 + 20.0**2) / 15
    assert abs(float(reprojection_loss(joints, keypoints, confidence, 20.0)) - expected) < 1e-12


def test_reprojection_gradient_equals_finite_differences():
    joints = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    keypoints, confidence = torch.randn(2, 3, 2, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda j: reprojection_loss(j, keypoints, confidence, 0.7), joints)


def test_a_wild_detection_costs_at_most_its_share():
    joints = torch.zeros(1, 4, 2)
    keypoints = torch.zeros(1, 4, 2)
    keypoints[0, 0] = 1e6
    assert reprojection_loss(joints, keypoints, torch.ones(1, 4), 10.0) <= 0.25


def test_unseen_keypoints_pull_nothing_even_as_nan():
    joints = torch.randn(5, 17, 2, requires_grad=True)
    keypoints, confidence = torch.randn(5, 17, 2), torch.ones(5, 17)
    keypoints[0], confidence[0] = torch.nan, 0.0
    reprojection_loss(joints, keypoints, confidence, 1.0).backward()
    assert joints.grad[0].abs().max() == 0
    assert joints.grad[1:].abs().min() > 0 and joints.grad.isfinite().all()
