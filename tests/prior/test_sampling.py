"""The sampler against the reference's loop, and against a distribution whose best denoiser is known in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch

from diffopt.prior.sampling import ddim_step, sample_ddim
from diffopt.prior.schedule import NoiseSchedule

SPACINGS = [("cosine", 50), ("cosine", 12), ("linear", 50), ("linear", 12)]


@pytest.fixture(scope="module")
def oracle():
    with np.load(Path(__file__).parent / "oracles" / "sampling.npz") as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def reference_network(noised, level):
    return torch.tanh(0.7 * noised + 0.01 * level[:, None, None])


def schedule_of(name, steps):
    return getattr(NoiseSchedule, name)(50).respaced(steps)


@pytest.mark.parametrize(("name", "steps"), SPACINGS)
def test_the_schedule_equals_the_reference(oracle, name, steps):
    schedule = schedule_of(name, steps)

    torch.testing.assert_close(
        torch.tensor(schedule.alpha_squared, dtype=torch.float64),
        oracle[f"{name}_{steps}/alpha_squared"],
        rtol=1e-7,
        atol=0,
    )
    assert torch.equal(schedule.network_levels, oracle[f"{name}_{steps}/levels"])


@pytest.mark.parametrize(("name", "steps"), SPACINGS)
def test_ddim_equals_the_reference(oracle, name, steps):
    sample = sample_ddim(reference_network, schedule_of(name, steps), oracle["start"])

    torch.testing.assert_close(sample, oracle[f"{name}_{steps}/ddim"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("level", [50, 400, 999])  # diffusers' float32 tables are too coarse for the cleanest levels
def test_single_steps_equal_diffusers(level):
    diffusers = pytest.importorskip("diffusers", reason="pip install diffusers: an independent oracle")
    options = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample": False}
    ddim = diffusers.DDIMScheduler(1000, **options)
    ddim.set_timesteps(1000)
    schedule, noised, clean = NoiseSchedule.cosine(), *torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(1))

    moved = ddim.step(clean, level, noised).prev_sample

    torch.testing.assert_close(ddim_step(schedule, noised, clean, level), moved, rtol=0, atol=1e-4)


def test_a_gaussian_is_drawn_with_its_mean_and_spread():
    mean, spread = 1.5, 0.4
    schedule = NoiseSchedule.cosine(200)
    generator = torch.Generator().manual_seed(0)

    def best_guess(noised, level):
        alpha, sigma = schedule.alpha[level[0]], schedule.sigma[level[0]]
        gain = alpha * spread**2 / (alpha**2 * spread**2 + sigma**2)
        return mean + gain * (noised - alpha * mean)

    drawn = sample_ddim(best_guess, schedule, torch.randn(4000, 1, 1, generator=generator))

    assert drawn.mean() == pytest.approx(mean, abs=0.03)
    assert drawn.std() == pytest.approx(spread, abs=0.02)


def test_the_last_step_is_the_clean_prediction():
    noised, clean = torch.randn(2, 3), torch.randn(2, 3)

    torch.testing.assert_close(ddim_step(NoiseSchedule.cosine(), noised, clean, 0), clean)


def test_a_perfect_network_is_asked_about_every_level_and_undoes_the_noise():
    schedule, clean = NoiseSchedule.cosine(50).respaced(5), torch.randn(2, 5, 3)
    asked = []

    def perfect(noised, level):
        asked.append(level.tolist())
        return clean

    torch.testing.assert_close(sample_ddim(perfect, schedule, torch.randn(2, 5, 3)), clean)
    assert asked == [[level, level] for level in reversed(schedule.network_levels.tolist())]
