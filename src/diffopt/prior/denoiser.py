"""The network of our own prior: a transformer that predicts the clean motion features (paper, eq. 2).

Two noise levels, one for the root block and one for the articulation: with both equal it is a prior of whole motions,
with a clean articulation and a noisy root it says what path belongs to a pose sequence.
"""

import math
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diffopt.device import once_per_device, rows
from diffopt.prior.linear_estimate import LinearEstimate
from diffopt.prior.schedule import NoiseSchedule

LEVEL_CHANNELS = 64
CONVOLUTION_FRAMES = 5


@dataclass
class DenoiserSize:
    """Shape of a `FactoredDenoiser`; stored beside its weights."""

    width: int = 192
    depth: int = 6
    heads: int = 6
    dropout: float = 0.1


class FactoredDenoiser(nn.Module):
    """Transformer over frames with rotary (relative) positions, so that any number of frames will do.

    Its output is added to the best linear estimate: almost clean features pass unchanged, whatever their size, and the
    network only learns what no linear filter can mend.

    Args:
        feature_size: D; the first `root_size` features are the root block, the rest the articulation.
        root_size: size of the root block.
        schedule: noise levels that `forward` is called with.
        size: width and depth.
        window: frames of the windows that its linear part learns from.
    """

    def __init__(
        self, feature_size: int, root_size: int, schedule: NoiseSchedule, size: DenoiserSize, window: int
    ) -> None:
        super().__init__()
        self.blocks = (root_size, feature_size - root_size)
        self.block_of = (0,) * root_size + (1,) * (feature_size - root_size)
        self.schedule = schedule
        self.linear = LinearEstimate(self.blocks, window)
        self.enter = nn.Linear(2 * feature_size, size.width)
        self.level = nn.Sequential(
            nn.Linear(2 * LEVEL_CHANNELS, size.width), nn.SiLU(), nn.Linear(size.width, size.width), nn.SiLU()
        )
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width)
        self.leave = nn.Linear(size.width, feature_size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self,
        features: Float[Tensor, "B T D"],
        root_level: Int[Tensor, " B"],
        articulation_level: Int[Tensor, " B"],
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Predict the clean features.

        Args:
            features: normalised features, each block noised to its level of the schedule.
            root_level, articulation_level: levels of the two blocks.
            valid: frames that exist, else all; what stands in the others has no influence.

        Returns:
            Clean normalised features; without meaning where not `valid`.
        """
        levels = torch.stack((root_level, articulation_level), dim=-1)
        if valid is not None:
            features = torch.where(valid[..., None], features, 0)
        block_of = rows(self.block_of, features.device)
        alpha, sigma = (values[levels][:, block_of] for values in (self.schedule.alpha, self.schedule.sigma))
        estimate = self.linear(features, alpha, sigma)
        embedded = level_embedding(levels / self.schedule.num_steps)
        condition = self.level(rearrange(embedded, "b block c -> b (block c)"))[:, None]
        hidden = self.enter(torch.cat((features, estimate), dim=-1))
        for layer in self.layers:
            hidden = layer(hidden, condition, valid)
        return estimate + self.leave(self.norm(hidden))


class Layer(nn.Module):
    """Attention over all frames, a convolution over near ones, and a perceptron, each scaled by the noise levels."""

    def __init__(self, size: DenoiserSize) -> None:
        super().__init__()
        width = size.width
        self.heads, self.dropout = size.heads, size.dropout
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.queries = nn.Linear(width, 3 * width)
        self.gather = nn.Linear(width, width)
        self.convolution = nn.Conv1d(width, width, CONVOLUTION_FRAMES, padding=CONVOLUTION_FRAMES // 2, groups=width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))
        self.drop = nn.Dropout(size.dropout)

    def forward(
        self, hidden: Float[Tensor, "B T W"], condition: Float[Tensor, "B 1 W"], valid: Bool[Tensor, "B T"] | None
    ) -> Float[Tensor, "B T W"]:
        scales = self.modulation(condition).chunk(6, dim=-1)
        parts = (self.attend, self.convolve, lambda inside, _: self.perceptron(inside))
        for part, norm, scale, shift in zip(parts, self.norms, scales[:3], scales[3:], strict=True):
            hidden = hidden + self.drop(part(norm(hidden) * (1 + scale) + shift, valid))
        return hidden

    def attend(self, inside: Float[Tensor, "B T W"], valid: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T W"]:
        three = rearrange(self.queries(inside), "b t (three head c) -> three b head t c", three=3, head=self.heads)
        query, key = rotate_by_frame(three[:2])
        seen = None if valid is None else repeat(valid, "b key -> b 1 query key", query=valid.shape[1])
        attended = nn.functional.scaled_dot_product_attention(
            query, key, three[2], seen, self.dropout if self.training else 0.0
        )
        return self.gather(rearrange(attended, "b head t c -> b t (head c)"))

    def convolve(self, inside: Float[Tensor, "B T W"], valid: Bool[Tensor, "B T"] | None) -> Float[Tensor, "B T W"]:
        if valid is not None:
            inside = torch.where(valid[..., None], inside, 0)
        return self.mix(nn.functional.gelu(self.convolution(inside.mT).mT))


def level_embedding(share: Float[Tensor, "*B"]) -> Float[Tensor, "*B C"]:
    """Sines and cosines of a noise level between 0 and 1, wavelengths from 1/100 of that range to 6 of it."""
    frequencies = torch.exp(torch.linspace(0, math.log(600), LEVEL_CHANNELS // 2, device=share.device))
    angle = share[..., None] * frequencies
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def rotate_by_frame(vectors: Float[Tensor, "*B T C"]) -> Float[Tensor, "*B T C"]:
    """Rotary positions (Su et al., 2021): turn pairs of channels by angles that grow with the frame."""
    half = vectors.shape[-1] // 2
    cosine, sine = _rotary_tables(vectors.shape[-2], half, like=vectors)
    first, second = vectors[..., :half], vectors[..., half:]
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


@once_per_device
def _rotary_tables(frames: int, half: int) -> Float[Tensor, "2 T C"]:
    frequencies = torch.exp(torch.linspace(0, -math.log(300), half))
    angle = torch.arange(frames)[:, None] * frequencies
    return torch.stack((angle.cos(), angle.sin()))
