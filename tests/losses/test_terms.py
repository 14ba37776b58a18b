"""The terms beyond the paper: known answers."""

from functools import partial

import torch

from diffopt.losses.terms import (
    acceleration_loss,
    correction_roughness_loss,
    correction_size_loss,
    floor_loss,
    foot_sliding_loss,
)
from diffopt.motion.correction import CameraCorrection

sliding = partial(foot_sliding_loss, fps=10.0, height_m=0.05, speed_m_s=0.5)
floor = partial(floor_loss, fps=10.0, height_m=0.05, speed_m_s=0.3)
size = partial(correction_size_loss, rotation_scale=0.005, translation_scale_m=0.03, ratio_scale=0.03)
roughness = partial(correction_roughness_loss, rotation_scale=0.5, translation_scale_m_s2=1.0, ratio_scale=0.5)


def feet(speed_m_s, height_m, frames=5, fps=10.0):
    path = torch.zeros(frames, 1, 3)
    path[:, 0, 0] = speed_m_s * torch.arange(frames) / fps
    path[:, 0, 1] = height_m
    return path


def test_a_foot_on_the_floor_pays_half_at_the_reference_speed():
    assert torch.isclose(sliding(feet(0.5, 0.0)), torch.tensor(0.5))


def test_a_foot_in_the_air_may_move_and_a_still_one_is_free():
    assert sliding(feet(0.5, 1.0)) < 2e-3
    assert sliding(feet(0.0, 0.0)) == 0


def test_height_is_no_way_out():
    """A sliding foot must not be lifted to please the loss: no gradient reaches its height through the weight."""
    path = feet(0.5, 0.02).requires_grad_()
    sliding(path).backward()
    assert path.grad[..., 1].abs().max() < 1e-6
    assert path.grad[..., 0].abs().max() > 0


def test_a_still_foot_pays_half_at_the_reference_height_and_a_swinging_one_little():
    assert torch.isclose(floor(feet(0.0, 0.05)), torch.tensor(0.5))
    assert floor(feet(0.0, 0.0)) == 0
    assert floor(feet(3.0, 0.05)) < 0.01
    assert floor(feet(0.0, 2.0)) < 1.0  # who stands on a wall is not pulled down


def test_a_foot_below_the_floor_pays_its_depth_however_fast():
    deep = floor(feet(30.0, -0.1))
    assert torch.isclose(deep, torch.tensor(5.0).sqrt() - 1, rtol=1e-2)
    assert floor(feet(30.0, 0.1)) < 0.01


def test_corrections_cost_nothing_at_the_start_and_one_at_their_plausible_size():
    made = CameraCorrection(4, "estimated", scale_known=False, focal_per_frame=False)
    assert size(made) == 0 and roughness(made, 30.0) == 0
    with torch.no_grad():
        made.translation_bias[:, 0] = 0.03
    assert torch.isclose(size(made), torch.tensor(1.0))
    assert roughness(made, 30.0) < 1e-9


def test_roughness_is_the_second_derivative():
    made = CameraCorrection(5, "estimated", scale_known=False, focal_per_frame=False)
    with torch.no_grad():
        made.translation_bias[:, 1] = 0.5 * 3.0 * (torch.arange(5) / 10.0) ** 2  # 3 m/s^2
    assert torch.isclose(roughness(made, 10.0), torch.tensor(9.0), rtol=1e-4)


def test_free_fall_costs_its_acceleration():
    joints = torch.zeros(6, 1, 3)
    joints[:, 0, 1] = -0.5 * 10.0 * (torch.arange(6) / 20.0) ** 2
    assert torch.isclose(acceleration_loss(joints, 20.0, scale_m_s2=10.0), torch.log(torch.tensor(2.0)), rtol=1e-3)
