"""The forward process of the diffusion prior: how much of a clean motion is left at each noise level.

Source: paper, eq. 1; the cosine and linear schedules of Nichol and Dhariwal, Improved DDPM (2021), and its respacing,
which MDM uses unchanged.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class NoiseSchedule(nn.Module):
    """x_k = alpha_k x_0 + sigma_k eps with alpha^2 + sigma^2 = 1 (paper, eq. 1).

    Level 0 is almost clean, level `num_steps` - 1 almost pure noise. The buffers follow the module from device to
    device and stay out of its state dict: a schedule is rebuilt from its name and length.

    Args:
        alpha_squared: (K,) share of the clean motion's variance at each level, strictly falling within (0, 1).
        network_levels: for each level the one that the network was trained on; the same by default.
    """

    alpha: Float[Tensor, "K"]
    sigma: Float[Tensor, "K"]
    network_levels: Int[Tensor, "K"]

    def __init__(self, alpha_squared: Sequence[float], network_levels: Sequence[int] | None = None) -> None:
        super().__init__()
        falling = all(later < earlier for earlier, later in itertools.pairwise((1.0, *alpha_squared, 0.0)))
        if not alpha_squared or not falling:
            raise ValueError(
                f"A noise schedule of {len(alpha_squared)} levels does not fall strictly from 1 towards 0. "
                "Pass alpha squared, one value per level, cleanest first."
            )
        # Python floats, not a buffer: the samplers need differences of these to full float64 precision, and
        # neither `.float()` nor a device without float64 may take that away.
        self.alpha_squared: tuple[float, ...] = tuple(alpha_squared)
        table = torch.tensor(self.alpha_squared, dtype=torch.float64)
        levels = torch.arange(len(table)) if network_levels is None else torch.tensor(list(network_levels))
        self.register_buffer("alpha", table.sqrt().float(), persistent=False)
        self.register_buffer("sigma", (1 - table).sqrt().float(), persistent=False)
        self.register_buffer("network_levels", levels, persistent=False)

    @classmethod
    def cosine(cls, num_steps: int = 1000) -> "NoiseSchedule":
        """MDM's own: alpha^2 follows a squared cosine, no step destroying more than 99.9 % of the variance."""

        def kept(share: float) -> float:
            return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

        steps = range(num_steps)
        return cls._from_betas([min(1 - kept((i + 1) / num_steps) / kept(i / num_steps), 0.999) for i in steps])

    @classmethod
    def linear(cls, num_steps: int = 1000) -> "NoiseSchedule":
        """Ho et al. (2020): variance added per step grows linearly, scaled so that any length ends equally noisy."""
        if num_steps < 21:
            raise ValueError(
                f"A linear schedule of {num_steps} steps would add more noise in one step than there is room for. "
                "Ask for at least 21 steps, or respace a longer schedule."
            )
        first, last = 0.1 / num_steps, 20.0 / num_steps
        return cls._from_betas([first + (last - first) * i / (num_steps - 1) for i in range(num_steps)])

    @classmethod
    def _from_betas(cls, betas: Sequence[float]) -> "NoiseSchedule":
        return cls(list(itertools.accumulate((1 - beta for beta in betas), lambda kept, step: kept * step)))

    @property
    def num_steps(self) -> int:
        return len(self.alpha_squared)

    def add_noise(
        self,
        clean: Float[Tensor, "B *shape"],
        noise: Float[Tensor, "B *shape"],
        level: Int[Tensor, "B"],
    ) -> Float[Tensor, "B *shape"]:
        """Noise each sample of a batch to its own level of this schedule (paper, eq. 1)."""
        broadcast = (-1, *[1] * (clean.ndim - 1))
        return self.alpha[level].view(broadcast) * clean + self.sigma[level].view(broadcast) * noise

    def respaced(self, num_steps: int) -> "NoiseSchedule":
        """Fewer, evenly spread levels for faster sampling, the first and last kept.

        Levels of the new schedule count from 0 again; `network_levels` maps them to what the network was trained on.
        """
        if not 2 <= num_steps <= self.num_steps:
            raise ValueError(
                f"Cannot respace {self.num_steps} noise levels to {num_steps}. Ask for 2 to {self.num_steps}."
            )
        stride = (self.num_steps - 1) / (num_steps - 1)
        # Summed up step by step as the reference does: a product rounds differently at some halves.
        kept = [round(at) for at in itertools.accumulate([0.0, *[stride] * (num_steps - 1)])]
        mapped = self.network_levels[kept].tolist()
        return NoiseSchedule([self.alpha_squared[level] for level in kept], mapped).to(self.alpha.device)
