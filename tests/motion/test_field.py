"""The field: rotations are rotations, any phase can be read, any length is resolved alike."""

import roma
import torch

from diffopt.motion.field import ExpectedPath, MotionField, PhaseEncoding, rotations_from_6d
from diffopt.motion.free import FreeMotion
from diffopt.motion.motion import Motion

CENTER = torch.tensor([1.0, 0.9, -2.0])


def arc(ahead_m):
    """A path of one metre's bow on the way from one point to another."""
    phase = torch.linspace(0, 1, 21)
    return CENTER + torch.stack([torch.sin(torch.pi * phase), 0 * phase, ahead_m * (phase - 0.5)], dim=-1)


def field(duration_s=2.0, ahead_m=0.0):
    torch.manual_seed(0)
    return MotionField(duration_s, bandwidth_hz=6.0, width=64, layers=3, expected_path=ExpectedPath(arc(ahead_m)))


def test_expected_path_is_the_straight_part_and_the_bow_its_unit():
    path = ExpectedPath(arc(8.0))
    phase = torch.linspace(0, 1, 21)
    assert torch.isclose(path.spread_m, torch.tensor(1.0))
    straight = path(phase, torch.zeros(21, 3))
    assert torch.allclose(straight[10], CENTER, atol=1e-5)
    assert torch.allclose(straight[-1] - straight[0], torch.tensor([0.0, 0.0, 8.0]), atol=1e-5)
    bow = torch.stack([torch.sin(torch.pi * phase), 0 * phase, 0 * phase], dim=-1)
    assert torch.allclose(path(phase, bow), arc(8.0), atol=1e-5)


def test_starts_near_rest_on_the_straight_path():
    motion = field()(torch.linspace(0, 1, 9))
    angle = roma.rotmat_geodesic_distance(motion.body_pose, torch.eye(3).expand(9, 23, 3, 3))
    assert angle.max() < 0.3 and angle.max() > 0
    assert (motion.transl - CENTER).norm(dim=1).max() < 0.3


def test_gives_rotations_and_finite_gradients():
    made = field()
    motion = made(torch.linspace(0, 1, 5))
    for rotation in (motion.body_pose, motion.global_orient):
        assert (rotation.mT @ rotation - torch.eye(3)).abs().max() < 1e-5
        assert (torch.linalg.det(rotation) - 1).abs().max() < 1e-5
    (motion.body_pose.sin().sum() + motion.transl.sum() + motion.global_orient.sin().sum()).backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in made.parameters())


def test_encoding_resolves_a_long_clip_as_finely_as_a_short_one():
    for duration in (1.0, 10.0, 60.0):
        encoding = PhaseEncoding(duration, bandwidth_hz=6.0)
        finest_hz = float(encoding.frequencies[-1]) / (2 * torch.pi) / duration
        assert abs(finest_hz - 6.0) < 0.5 / duration + 1e-6


def test_follows_a_motion_within_a_few_hundred_steps():
    """A 2 Hz swing of every joint and a path of 3 m, in a clip of 2 s."""
    made = field()
    phase = torch.linspace(0, 1, 60)
    angle = 0.5 * torch.sin(2 * torch.pi * 2 * 2.0 * phase)
    target = roma.rotvec_to_rotmat(torch.stack([angle, 0 * angle, 0 * angle], dim=-1))
    path = CENTER + torch.stack([3 * (phase - 0.5), 0 * phase, 0 * phase], dim=-1)
    optimizer = torch.optim.Adam(made.parameters(), lr=3e-3)
    for _ in range(300):
        motion = made(phase)
        loss = (motion.body_pose - target[:, None]).square().sum(dim=(1, 2, 3)).mean()
        loss = loss + (motion.transl - path).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = roma.rotmat_geodesic_distance(motion.body_pose, target[:, None].expand(-1, 23, -1, -1))
    assert torch.rad2deg(error.mean()) < 1.0
    assert (motion.transl - path).norm(dim=1).mean() < 0.02


def test_six_numbers_are_the_first_two_columns():
    rotation = roma.random_rotmat(4)
    assert torch.allclose(rotations_from_6d(rotation[..., :2].flatten(-2)), rotation, atol=1e-5)


def some_motion(num_frames, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Motion.from_axis_angle(
        *(torch.randn(num_frames, *shape, generator=generator) for shape in ((23, 3), (3,), (3,)))
    )


def test_learnable_tensors_start_at_the_initial_motion():
    initial, other = some_motion(5), some_motion(5, seed=1)
    free = FreeMotion(initial)
    for motion in (initial, other):
        free.start_from(motion)
        at_frames = free(torch.linspace(0, 1, 5))
        assert torch.allclose(at_frames.body_pose, motion.body_pose, atol=1e-5)
        assert torch.allclose(at_frames.global_orient, motion.global_orient, atol=1e-5)
        assert torch.equal(at_frames.transl, motion.transl)


def test_learnable_tensors_are_read_halfway_between_two_frames():
    initial = some_motion(5)
    between = FreeMotion(initial)(torch.tensor([0.125]))
    assert torch.allclose(between.transl[0], (initial.transl[0] + initial.transl[1]) / 2)
    assert roma.is_rotation_matrix(between.body_pose, epsilon=1e-5)
