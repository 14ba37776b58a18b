"""Schedules against diffusers' and against the recurrence written a second way."""

import math

import numpy as np
import pytest
import torch

from diffopt.prior.schedule import NoiseSchedule

diffusers = pytest.importorskip("diffusers", reason="pip install diffusers: the independent oracle of the schedules")


@pytest.mark.parametrize("num_steps", [50, 1000])
def test_cosine_equals_diffusers(num_steps):
    oracle = diffusers.DDPMScheduler(num_train_timesteps=num_steps, beta_schedule="squaredcos_cap_v2").alphas_cumprod

    torch.testing.assert_close(NoiseSchedule.cosine(num_steps).alpha.square(), oracle, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("num_steps", [50, 1000])
def test_linear_equals_diffusers_at_the_scaled_ends(num_steps):
    scale = 1000 / num_steps
    oracle = diffusers.DDPMScheduler(num_train_timesteps=num_steps, beta_start=scale * 1e-4, beta_end=scale * 0.02)

    torch.testing.assert_close(
        NoiseSchedule.linear(num_steps).alpha.square(), oracle.alphas_cumprod, rtol=1e-4, atol=1e-7
    )


def test_cosine_ends_where_the_clip_at_999_permille_leaves_it():
    kept, before = 1.0, math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    for step in range(1, 51):
        after = math.cos((step / 50 + 0.008) / 1.008 * math.pi / 2) ** 2
        kept *= max(after / before, 0.001)
        before = after

    assert NoiseSchedule.cosine(50).alpha_squared[-1] == pytest.approx(kept, rel=1e-10)


@pytest.mark.parametrize("schedule", [NoiseSchedule.cosine(), NoiseSchedule.linear()])
def test_the_variance_stays_one(schedule):
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(1000))
    assert schedule.alpha.dtype == schedule.sigma.dtype == torch.float32


def test_each_sample_is_noised_to_its_own_level():
    schedule = NoiseSchedule.cosine(50)
    clean, noise = torch.randn(3, 7, 4), torch.randn(3, 7, 4)

    noised = schedule.add_noise(clean, noise, torch.tensor([0, 20, 49]))

    for row, level in enumerate((0, 20, 49)):
        kept = schedule.alpha_squared[level]
        torch.testing.assert_close(noised[row], math.sqrt(kept) * clean[row] + math.sqrt(1 - kept) * noise[row])


@pytest.mark.parametrize("num_steps", [2, 7, 30, 49, 50])
def test_respacing_keeps_the_ends_and_the_variances_of_the_kept_levels(num_steps):
    schedule = NoiseSchedule.cosine(50)
    short = schedule.respaced(num_steps)

    levels = short.network_levels.numpy()
    assert short.num_steps == num_steps
    assert (levels[0], levels[-1]) == (0, 49)
    assert np.abs(levels - np.linspace(0, 49, num_steps)).max() <= 0.5 + 1e-9
    assert torch.equal(short.alpha, schedule.alpha[short.network_levels])


def test_respacing_twice_still_names_the_networks_own_levels():
    twice = NoiseSchedule.cosine(1000).respaced(50).respaced(5)

    assert torch.equal(twice.alpha, NoiseSchedule.cosine(1000).alpha[twice.network_levels])
    assert twice.network_levels[-1] == 999


def test_nothing_is_added_to_a_state_dict():
    assert not NoiseSchedule.cosine(50).state_dict()


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="at least 21"):
        NoiseSchedule.linear(20)
    with pytest.raises(ValueError, match="Ask for 2 to 50"):
        NoiseSchedule.cosine(50).respaced(51)
    with pytest.raises(ValueError, match="does not fall"):
        NoiseSchedule([0.5, 0.5])
