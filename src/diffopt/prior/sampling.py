"""Drawing motions from a network that predicts the clean motion: DDPM (Ho et al., 2020) and DDIM (Song et al., 2021).

A step goes from one level of a schedule to the next cleaner one, and from level 0 to the clean motion itself; on a
respaced schedule the network is told the level that it was trained on.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffopt.prior.schedule import NoiseSchedule

Denoise = Callable[[Float[Tensor, "B T D"], Int[Tensor, "B"]], Float[Tensor, "B T D"]]
"""Noised features and their noise level to the clean prediction; `Denoiser.denoise` is one."""


@torch.no_grad()
def sample_ddpm(
    denoise: Denoise,
    schedule: NoiseSchedule,
    noise: Float[Tensor, "B T D"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B T D"]:
    """Ancestral sampling through all levels of a schedule.

    Args:
        denoise: the network.
        schedule: levels to go through; respace it for fewer network calls.
        noise: standard normal, where to start; its shape, device and type are the sample's.
        generator: source of the noise added on the way, on the device of `noise`.

    Returns:
        Normalised features.
    """
    noised = noise
    for level in reversed(range(schedule.num_steps)):
        clean = denoise(noised, _network_level(schedule, level, noised))
        fresh = torch.randn(noised.shape, generator=generator, device=noised.device, dtype=noised.dtype)
        noised = ddpm_step(schedule, noised, clean, level, fresh)
    return noised


@torch.no_grad()
def sample_ddim(
    denoise: Denoise,
    schedule: NoiseSchedule,
    noised: Float[Tensor, "B T D"],
    first_level: int | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "B T D"]:
    """DDIM sampling, from pure noise or from any level in between.

    Args:
        denoise: the network.
        schedule: levels to go through; respace it for fewer network calls.
        noised: where to start, a motion noised to `first_level`.
        first_level: level of `schedule` to start at; its noisiest by default, where standard normal noise does.
        eta: share of fresh noise, from 0, which is deterministic, to 1, which has DDPM's variance.
        generator: source of that noise, on the device of `noised`.

    Returns:
        Normalised features.

    Raises:
        ValueError: `first_level` is not a level of the schedule.
    """
    first_level = schedule.num_steps - 1 if first_level is None else first_level
    if not 0 <= first_level < schedule.num_steps:
        raise ValueError(
            f"Sampling cannot start at noise level {first_level}. Ask for a level from 0 to {schedule.num_steps - 1}."
        )
    for level in reversed(range(first_level + 1)):
        clean = denoise(noised, _network_level(schedule, level, noised))
        fresh = None
        if eta > 0:
            fresh = torch.randn(noised.shape, generator=generator, device=noised.device, dtype=noised.dtype)
        noised = ddim_step(schedule, noised, clean, level, eta, fresh)
    return noised


def ddpm_step(
    schedule: NoiseSchedule,
    noised: Float[Tensor, "*shape"],
    clean: Float[Tensor, "*shape"],
    level: int,
    noise: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """Draw from q(x_{k-1} | x_k, x_0) (Ho et al., eqs. 6 and 7); at level 0 that is `clean` itself."""
    kept, kept_before = _kept(schedule, level)
    beta = 1 - kept / kept_before
    clean_share = beta * math.sqrt(kept_before) / (1 - kept)
    noised_share = (1 - kept_before) * math.sqrt(kept / kept_before) / (1 - kept)
    deviation = math.sqrt(beta * (1 - kept_before) / (1 - kept))
    return clean_share * clean + noised_share * noised + deviation * noise


def ddim_step(
    schedule: NoiseSchedule,
    noised: Float[Tensor, "*shape"],
    clean: Float[Tensor, "*shape"],
    level: int,
    eta: float = 0.0,
    noise: Float[Tensor, "*shape"] | None = None,
) -> Float[Tensor, "*shape"]:
    """Keep the noise that `clean` leaves of `noised`, at the next cleaner level's strength (Song et al., eq. 12).

    `noise` takes the place of an `eta`-dependent part of it and is not needed when `eta` is 0.
    """
    kept, kept_before = _kept(schedule, level)
    found = (noised - math.sqrt(kept) * clean) / math.sqrt(1 - kept)
    deviation = eta * math.sqrt((1 - kept_before) / (1 - kept) * (1 - kept / kept_before))
    step = math.sqrt(kept_before) * clean + math.sqrt(1 - kept_before - deviation**2) * found
    return step if noise is None else step + deviation * noise


def _kept(schedule: NoiseSchedule, level: int) -> tuple[float, float]:
    """Clean variance left at a level and at the next cleaner one, which for level 0 is the clean motion."""
    return schedule.alpha_squared[level], schedule.alpha_squared[level - 1] if level > 0 else 1.0


def _network_level(schedule: NoiseSchedule, level: int, noised: Float[Tensor, "B T D"]) -> Int[Tensor, "B"]:
    return schedule.network_levels[level].to(noised.device).expand(noised.shape[0])
