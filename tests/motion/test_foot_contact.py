import math

import pytest
import torch

from diffopt.motion.foot_contact import (
    TOES,
    StanceOptions,
    foot_contact,
    hold_still,
    kinematic_velocity,
    lock_feet,
    stance_toe,
)

FPS = 20.0
STANCE = StanceOptions()


def walking_toes(speed: float, seconds: float = 4.0, step_seconds: float = 0.5) -> torch.Tensor:
    """Joints relative to a root that walks along z: one toe stands on the floor while the other swings over it."""
    time = torch.arange(round(seconds * FPS) + 1, dtype=torch.float64) / FPS
    relative = torch.zeros(len(time), 22, 3, dtype=torch.float64)
    for side, toe in enumerate(TOES):
        stride = (time / step_seconds + side) / 2
        cycle, phase = stride.floor(), 2 * (stride % 1)
        swing = (phase - 1).clamp(0, 1)
        stands_at = (2 * cycle - side) * step_seconds * speed
        relative[:, toe, 2] = stands_at + 2 * step_seconds * speed * swing - speed * time
        relative[:, toe, 1] = -0.9 + 0.08 * torch.sin(math.pi * swing)
    return relative


# A slow swing looks more like a foot in contact than a fast one, so a slow walk comes out a little slower.
@pytest.mark.parametrize(("speed", "relative"), [(0.5, 0.06), (1.4, 0.02), (-1.0, 0.02)])
def test_foot_contact_finds_the_speed_of_a_walk(speed, relative):
    contact = foot_contact(walking_toes(speed), FPS)

    assert contact.velocity[:, 2].mean().item() == pytest.approx(speed, rel=relative)
    assert contact.velocity[:, 0].abs().max() < 1e-6


def test_support_goes_from_foot_to_foot():
    support = foot_contact(walking_toes(1.2), FPS).support

    # The left toe stands in the middle of the first step, the right one in that of the second.
    assert support[5, 0] > 0.9 > 0.2 > support[5, 1]
    assert support[15, 1] > 0.9 > 0.2 > support[15, 0]


def test_foot_contact_outlives_a_toe_that_is_lowest_for_the_wrong_reason():
    relative = walking_toes(1.2)
    swinging = relative.clone()
    # For three frames an error of the pose puts the swinging foot below the standing one.
    swinging[34:37, TOES[0], 1] -= 0.1

    wrong = (stance_toe(swinging, FPS)[:, 2] - 1.2).abs().mean()
    assert (foot_contact(swinging, FPS).velocity[:, 2] - 1.2).abs().mean() < 0.6 * wrong


def test_foot_contact_does_not_see_frames_that_do_not_exist():
    relative = walking_toes(1.2)
    valid = torch.ones(len(relative), dtype=torch.bool)
    valid[50:] = False
    padded = relative.clone()
    padded[50:] = 7.0

    alone = foot_contact(relative[:50], FPS)
    masked = foot_contact(padded, FPS, valid)

    torch.testing.assert_close(masked.velocity[:49], alone.velocity)


def test_foot_contact_turns_with_the_person():
    relative = walking_toes(1.2)
    turn = torch.tensor([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0], [-0.8, 0.0, 0.6]], dtype=torch.float64)

    turned = foot_contact(relative @ turn.T, FPS).velocity

    torch.testing.assert_close(turned, foot_contact(relative, FPS).velocity @ turn.T)


def test_foot_contact_has_the_gradient_of_its_values():
    relative = walking_toes(1.0, seconds=0.6)
    toes = (relative[:, TOES] + 0.01 * torch.randn(13, 2, 3, dtype=torch.float64)).requires_grad_()

    def velocity(toes):
        return foot_contact(torch.cat((torch.zeros(13, 10, 3), toes, torch.zeros(13, 10, 3)), dim=1), FPS).velocity

    assert torch.autograd.gradcheck(velocity, toes, atol=1e-4)


def test_lock_feet_stops_a_slow_slide_and_spares_a_true_walk():
    relative = walking_toes(1.2)
    true = torch.zeros(len(relative) - 1, 3, dtype=torch.float64)
    true[:, 2] = 1.2
    sliding = true + torch.tensor([0.05, 0.0, 0.08])

    locked = lock_feet(sliding, relative, FPS, STANCE)

    assert (locked - true)[:, [0, 2]].norm(dim=-1).mean() < 0.3 * (sliding - true).norm(dim=-1).mean()
    assert (lock_feet(true, relative, FPS, STANCE) - true)[:, 2].abs().mean() < 0.05


def test_hold_still_stops_a_shuffle_and_spares_a_walk():
    time = torch.arange(80)[:, None] / FPS
    swaying = torch.cat((0.3 * torch.sin(6 * time), 0 * time, 0.3 * torch.cos(6 * time)), dim=1)
    walking = torch.tensor([0.0, 0.05, 0.8]).expand(80, 3)

    assert hold_still(swaying, FPS, STANCE)[10:-10].abs().max() < 0.05
    torch.testing.assert_close(hold_still(walking, FPS, STANCE), walking, rtol=0.01, atol=0)


def test_kinematic_velocity_is_that_of_a_walk_and_nothing_for_noise_on_a_stand():
    walk = kinematic_velocity(walking_toes(1.2), FPS, STANCE)
    # Both feet stand; errors of the pose swing each leg by 4 cm, one faster than the other.
    time = torch.arange(80, dtype=torch.float64) / FPS
    standing = torch.zeros(80, 22, 3, dtype=torch.float64)
    standing[:, TOES, 1] = -0.9
    standing[:, TOES[0], 2] = 0.04 * torch.sin(7 * time)
    standing[:, TOES[1], 0] = -0.2 + 0.04 * torch.sin(11 * time)

    assert walk[:, 2].mean().item() == pytest.approx(1.2, rel=0.02)
    path = kinematic_velocity(standing, FPS, STANCE).cumsum(dim=0)[:, [0, 2]] / FPS
    assert path.norm(dim=-1).max() < 0.01
