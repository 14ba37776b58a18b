"""The local field: a motion comes back, splines are splines, and a frame costs the same in any clip."""

import numpy as np
import pytest
import roma
import torch
from scipy.interpolate import BSpline

from diffopt.motion.local_field import STIFFNESS, LocalField, fit_spline, spline_weights
from diffopt.motion.motion import Motion


def swing(frames: int, duration_s: float) -> Motion:
    """Joints that swing at 2 Hz, a root that turns and walks."""
    time = torch.linspace(0, duration_s, frames)
    angle = 0.5 * torch.sin(2 * torch.pi * 2.0 * time)
    axes = torch.nn.functional.normalize(torch.randn(23, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    pose = roma.rotvec_to_rotmat(angle[:, None, None] * axes)
    orient = roma.rotvec_to_rotmat(torch.stack([0 * time, time, 0 * time], dim=1))
    return Motion(pose, orient, torch.stack([torch.sin(time), 0.9 + 0 * time, 1.2 * time], dim=1))


def made(motion: Motion, duration_s: float) -> LocalField:
    torch.manual_seed(0)
    return LocalField(motion, duration_s, bandwidth_hz=6.0, features=8, levels=4, width=32)


def test_weights_are_those_of_scipys_b_spline():
    phase = torch.linspace(0, 1, 37, dtype=torch.float64)
    knots, weights = spline_weights(phase, intervals=9)

    coefficients = np.random.default_rng(0).normal(size=12)
    theirs = BSpline((np.arange(16) - 3) / 9, coefficients, 3)(phase.numpy())
    ours = (weights.numpy() * coefficients[knots.numpy()]).sum(axis=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_base_is_the_least_squares_spline():
    values = np.random.default_rng(0).normal(size=(200, 2))
    basis = BSpline.design_matrix(np.linspace(0, 1, 200), (np.arange(26) - 3) / 19, 3).toarray()
    bend = np.sqrt(STIFFNESS) * np.diff(np.eye(22), n=2, axis=0)
    expected = np.linalg.lstsq(np.vstack([basis, bend]), np.vstack([values, np.zeros((20, 2))]), rcond=None)[0]
    np.testing.assert_allclose(fit_spline(values, 19), expected, atol=1e-9)


def test_it_starts_at_the_initial_motion_and_anew_at_another():
    motion, phase = swing(91, 3.0), torch.linspace(0, 1, 91)
    field = made(motion, 3.0)
    for target in (motion, swing(91, 3.3)):
        field.start_from(target)
        read = field(phase)
        assert roma.rotmat_geodesic_distance(read.body_pose, target.body_pose).max() < 0.03
        assert (read.transl - target.transl).norm(dim=1).max() < 0.002
        field.position[-1].bias.data += 1.0


def test_a_clip_of_few_frames_is_smooth_between_them():
    sparse = swing(13, 3.0)  # fewer frames than knots
    between = made(sparse, 3.0)(torch.linspace(0, 1, 200)).transl
    assert (between[:, 1] - 0.9).abs().max() < 0.01 and between.diff(dim=0)[:, 2].min() > 0


def test_velocity_and_acceleration_are_continuous():
    field = made(swing(31, 1.0), 1.0).double()
    for parameter in field.parameters():
        parameter.data.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    knot = 4 / field.intervals[0]
    h = 1e-4
    place = field(knot + h * torch.arange(-3.0, 4.0, dtype=torch.float64)).transl
    before, after = (place[2] - 2 * place[1] + place[0]) / h**2, (place[6] - 2 * place[5] + place[4]) / h**2
    torch.testing.assert_close(before, after, rtol=5e-2, atol=1e-2)


def test_gradients_are_those_of_finite_differences():
    field = made(swing(9, 0.5), 0.5).double()
    for head in (field.pose, field.orient, field.position):
        head[-1].weight.data.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    phase = torch.tensor([0.0, 0.31, 1.0], dtype=torch.float64)

    def read(grid):
        motion = torch.func.functional_call(field, {"grid": grid}, (phase,))
        return motion.body_pose.sum() + motion.transl.square().sum() + motion.global_orient[:, 0].sum()

    grid = field.grid.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(read(grid), grid)
    for row, column in ((0, 0), (3, 5), (len(grid) - 1, 2)):
        step = torch.zeros_like(grid)
        step[row, column] = 1e-6
        slope = (read(grid + step) - read(grid - step)) / 2e-6
        assert float(gradient[row, column]) == pytest.approx(float(slope), rel=1e-5, abs=1e-9)


def test_a_frame_is_read_from_as_few_numbers_in_any_clip():
    for duration_s in (3.0, 300.0):
        field = made(swing(round(30 * duration_s), duration_s), duration_s)
        field.position[-1].weight.data.fill_(1.0)
        field(torch.full((1,), 0.3712)).transl.sum().backward()
        assert int((field.grid.grad.abs().sum(dim=1) > 0).sum()) == 4 * len(field.intervals)
