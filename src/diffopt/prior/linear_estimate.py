"""The best linear estimate of clean motion features: what of noised ones must be noise, judged by how motion varies.

Features say the same thing several times (rotations, positions, velocities), and bodies move slowly. So most of what
noise adds lies along axes and at frequencies where no motion is, and Wiener's filter takes it away without any network:
on people it has not seen it errs half as much as a transformer narrower than the feature vector. What a network has to
learn is the rest.
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.device import once_per_device

LEAST_POWER = 1e-4
"""Floor of the expected power: people who were not seen also move along axes that those who were seen did not use."""


class LinearEstimate(nn.Module):
    """Wiener's filter over time and over the principal axes of each block of features.

    Before `learn` it knows nothing: every feature is then taken for white with variance 1.

    Args:
        blocks: sizes of the blocks of a feature vector; axes do not mix features of two blocks, since blocks may be
            noised to different levels.
        frequencies: F, at which the power along an axis is kept, evenly from 0 to half the frame rate.
    """

    axes: Float[Tensor, "D D"]
    power: Float[Tensor, "F D"]

    def __init__(self, blocks: tuple[int, ...], frequencies: int) -> None:
        super().__init__()
        self.blocks = blocks
        self.register_buffer("axes", torch.eye(sum(blocks)))
        self.register_buffer("power", torch.ones(frequencies, sum(blocks)))

    @torch.no_grad()
    def learn(self, clean: Float[Tensor, "N F D"]) -> None:
        """Take axes and powers from windows of clean features, as many frames long as `power` has frequencies."""
        flat = rearrange(clean, "window frame feature -> (window frame) feature").double()
        start = 0
        for size in self.blocks:
            block = slice(start, start + size)
            covariance = flat[:, block].mT @ flat[:, block] / len(flat)
            self.axes[block, block] = torch.linalg.eigh(covariance).eigenvectors.to(self.axes)
            start += size
        spectrum = cosine_basis(clean.shape[-2], like=clean) @ clean @ self.axes
        self.power.copy_(spectrum.square().mean(dim=0) + LEAST_POWER)

    def forward(
        self, features: Float[Tensor, "B T D"], alpha: Float[Tensor, "B D"], sigma: Float[Tensor, "B D"]
    ) -> Float[Tensor, "B T D"]:
        """The estimate of x_0 from x_k = alpha x_0 + sigma eps with the least expected squared error.

        Args:
            features: noised features, normalised.
            alpha, sigma: of every feature; alike within a block.
        """
        frames = features.shape[-2]
        basis = cosine_basis(frames, like=features)
        power = self._power_of(frames).to(features)
        alpha, sigma = alpha[:, None].to(features), sigma[:, None].to(features)
        gain = alpha * power / (alpha.square() * power + sigma.square())
        return basis.mT @ (gain * (basis @ features @ self.axes)) @ self.axes.mT

    def _power_of(self, frames: int) -> Float[Tensor, "T D"]:
        """The power at the frequencies of a cosine transform of `frames` frames."""
        count = len(self.power)
        place = (torch.arange(frames, device=self.power.device) * (count / frames)).clamp_max(count - 1)
        before = place.long().clamp_max(max(count - 2, 0))
        after = (before + 1).clamp_max(count - 1)
        return torch.lerp(self.power[before], self.power[after], (place - before)[:, None])


@once_per_device
def cosine_basis(frames: int) -> Float[Tensor, "T T"]:
    """The orthonormal cosine transform (DCT-II), a frequency per row; row k is at k / (2 T) per frame."""
    rows = torch.arange(frames, dtype=torch.float64)
    basis = torch.cos(math.pi / frames * rows[:, None] * (rows + 0.5)) * math.sqrt(2 / frames)
    basis[0] /= math.sqrt(2)
    return basis
