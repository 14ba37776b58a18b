"""Drawing motions from a network that predicts the clean motion, by DDIM (Song et al., 2021) without fresh noise.

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
def sample_ddim(denoise: Denoise, schedule: NoiseSchedule, noise: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
    """A motion for each piece of noise, through all levels of a schedule.

    Args:
        denoise: the network.
        schedule: levels to go through; respace it for fewer network calls.
        noise: standard normal; it alone decides what is drawn.

    Returns:
        Normalised features.
    """
    noised = noise
    for level in reversed(range(schedule.num_steps)):
        network_level = schedule.network_levels[level].to(noised.device).expand(len(noised))
        noised = ddim_step(schedule, noised, denoise(noised, network_level), level)
    return noised


def ddim_step(
    schedule: NoiseSchedule, noised: Float[Tensor, "*shape"], clean: Float[Tensor, "*shape"], level: int
) -> Float[Tensor, "*shape"]:
    """Keep the noise that `clean` leaves of `noised`, at the next cleaner level's strength (Song et al., eq. 12, with
    sigma = 0)."""
    kept = schedule.alpha_squared[level]
    # Below level 0 lies the clean motion.
    kept_before = schedule.alpha_squared[level - 1] if level > 0 else 1.0
    found = (noised - math.sqrt(kept) * clean) / math.sqrt(1 - kept)
    return math.sqrt(kept_before) * clean + math.sqrt(1 - kept_before) * found
