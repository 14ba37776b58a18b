"""How fast motion features change, and what of a prediction must therefore be noise.

A network narrower than the feature vector cannot take noise out of all its entries; what it leaves passes through its
skip connection. Most of that is faster than any body moves, and a Wiener filter over time removes it.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.prior.smpl_features import FEATURE_SIZE, SLICES

_SPECTRA: dict[str, tuple[float, float, float]] = {
    "velocity_residual": (1.65, 3.7, 0.009),
    "clearance": (0.24, 3.7, 0.0),
    "yaw_rate": (0.42, 2.1, 0.01),
    "tilt": (0.43, 3.5, 0.001),
    "rotations": (0.55, 3.7, 0.0002),
    "positions": (0.67, 4.8, 0.0001),
    "velocities": (1.5, 4.2, 0.024),
    "planted_velocity": (0.91, 3.5, 0.0),
    "support": (0.73, 2.9, 0.009),
}
"""Per block: corner in Hz, order, and share of white noise. Fitted to the training people's windows of 3.2 s; every
entry of a block counts as one of variance 1. The logarithms fit to 0.15 to 0.45."""


def power(frames: int, fps: float) -> Float[Tensor, "T D"]:
    """Expected power of normalised features in the cosine basis of `frames` frames; its mean over the basis is 1."""
    hertz = torch.arange(frames) * fps / (2 * frames)
    table = torch.empty(frames, FEATURE_SIZE)
    for name, (corner, order, white) in _SPECTRA.items():
        falling = 1 / (1 + (hertz / corner) ** order)
        table[:, SLICES[name]] = (falling / falling.mean() + white)[:, None]
    return table


def quieten(prediction: Float[Tensor, "B T D"], noise_variance: float, fps: float) -> Float[Tensor, "B T D"]:
    """Take out of predicted features what is faster than motion, as far as there is noise in them (Wiener's filter).

    Args:
        prediction: normalised features.
        noise_variance: of the white noise that the network may have left in every entry.
        fps: frames per second.

    Returns:
        The same where `noise_variance` is 0.
    """
    frames = prediction.shape[-2]
    basis = cosine_basis(frames).to(prediction)
    expected = power(frames, fps).to(prediction)
    return basis.mT @ (expected / (expected + noise_variance) * (basis @ prediction))


def cosine_basis(frames: int) -> Float[Tensor, "T T"]:
    """The orthonormal cosine transform (DCT-II), a frequency per row; row k is at k / (2 T) per frame."""
    rows = torch.arange(frames, dtype=torch.float64)
    basis = torch.cos(math.pi / frames * rows[:, None] * (rows + 0.5)) * math.sqrt(2 / frames)
    basis[0] /= math.sqrt(2)
    return basis
