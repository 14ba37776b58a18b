"""A motion field whose cost per frame does not grow with the clip: features on grids of time, and small heads.

Still the paper's {f_theta, f_phi, f_x} of phase (section 3.1), continuous and read at any instant. Where the networks
of `field` see a cosine for every half period of the whole clip, here a frame sees a few numbers about it: learned
features on grids of several spacings, as multiresolution grids have them in space (Mueller et al., Instant-NGP, 2022),
mixed by cubic B-splines, so that velocities and accelerations are continuous. A frame costs the same in any clip.

What the field starts from is a regression with a known answer: a B-spline of the initial motion by least squares, on
which the heads build. So hardly any warm-up (eq. 5) is left.
"""

import math

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import torch
from einops import rearrange
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from diffopt.motion.field import BODY_ROTATIONS, rotations_from_6d
from diffopt.motion.motion import Motion

NUMBERS = 6 * (BODY_ROTATIONS + 1) + 3
"""Of one frame: 6D rotations of joints and root, and the root's position."""
STIFFNESS = 1e-3
"""Weight of the base's second differences against a frame's values: it decides only where there are no frames."""


class LocalField(nn.Module):
    """The motion field on grids of time."""

    base: Tensor

    def __init__(
        self, initial: Motion, duration_s: float, bandwidth_hz: float, features: int, levels: int, width: int
    ) -> None:
        """
        Args:
            initial: the motion that the field starts at, T frames.
            duration_s: length of the clip, seconds.
            bandwidth_hz: fastest motion that the finest grid resolves: it has two knots per period.
            features: learned numbers per knot.
            levels: grids; each has knots twice as far apart as the one before.
            width: units of the heads' hidden layer.
        """
        super().__init__()
        knots = [max(1, math.ceil(2 * bandwidth_hz * duration_s / 2**level)) for level in range(levels)]
        self.intervals = knots
        self.first_knot = [sum(count + 3 for count in knots[:level]) for level in range(levels)]
        total = sum(count + 3 for count in knots)
        self.grid = nn.Parameter(0.1 * torch.randn(total, features))
        inputs = levels * features
        self.pose = _head(inputs, width, 6 * BODY_ROTATIONS)
        self.orient = _head(inputs, width, 6)
        self.position = _head(inputs, width, 3)
        self.register_buffer("base", torch.zeros(knots[0] + 3, NUMBERS))
        self.start_from(initial)

    @torch.no_grad()
    def start_from(self, initial: Motion) -> None:
        """Start at a motion: what was learned on top of the one before is forgotten."""
        numbers = torch.cat([_six(initial.body_pose), _six(initial.global_orient), initial.transl], dim=1)
        fitted = fit_spline(numbers.double().cpu().numpy(), self.intervals[0])
        self.base.copy_(torch.from_numpy(fitted))
        for head in (self.pose, self.orient, self.position):
            for parameter in head[-1].parameters():
                parameter.zero_()

    def forward(self, phase: Float[Tensor, "N"]) -> Motion:
        """The motion at the given phases (0 is the first frame, 1 the last)."""
        read = [spline_weights(phase, count) for count in self.intervals]
        rows = torch.stack([first + at for (at, _), first in zip(read, self.first_knot, strict=True)], dim=1)
        weights = torch.stack([weight for _, weight in read], dim=1)
        around = torch.nn.functional.embedding(rows, self.grid)
        features = (weights[..., None] * around).sum(dim=2)
        features = rearrange(features, "n level feature -> n (level feature)")
        at, weight = read[0]
        base = (weight[..., None] * self.base[at]).sum(dim=1)
        pose, orient, position = base.split([6 * BODY_ROTATIONS, 6, 3], dim=1)
        pose = rearrange(pose + self.pose(features), "n (joint six) -> n joint six", six=6)
        return Motion(
            body_pose=rotations_from_6d(pose),
            global_orient=rotations_from_6d(orient + self.orient(features)),
            transl=position + self.position(features),
        )


def spline_weights(phase: Float[Tensor, "N"], intervals: int) -> tuple[Int[Tensor, "N 4"], Float[Tensor, "N 4"]]:
    """The four knots about each phase, and the weights of the uniform cubic B-spline there.

    Args:
        phase: 0 to 1.
        intervals: between knots; the spline has three knots more than these.
    """
    place = phase * intervals
    interval = place.floor().clamp(0, intervals - 1)
    u = place - interval
    squared, cubed = u * u, u * u * u
    weights = torch.stack(
        [(1 - u) ** 3, 3 * cubed - 6 * squared + 4, -3 * cubed + 3 * squared + 3 * u + 1, cubed], dim=1
    )
    knots = interval.long()[:, None] + torch.arange(4, device=phase.device)
    return knots, weights / 6


def fit_spline(values: Float[ndarray, "T D"], intervals: int) -> Float[ndarray, "K D"]:
    """The coefficients of the B-spline that lies nearest to values at even times, smooth where it is not determined."""
    at, weights = (
        part.numpy() for part in spline_weights(torch.linspace(0, 1, len(values), dtype=torch.float64), intervals)
    )
    rows = np.repeat(np.arange(len(values)), 4)
    basis = scipy.sparse.csr_matrix((weights.ravel(), (rows, at.ravel())), shape=(len(values), intervals + 3))
    bend = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(intervals + 1, intervals + 3))  # type: ignore[call-overload]
    normal = (basis.T @ basis + STIFFNESS * bend.T @ bend).tocsc()
    return scipy.sparse.linalg.splu(normal).solve(basis.T @ values)


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    """Starts at nothing: the field is then its base."""
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs))


def _six(rotation: Float[Tensor, "T *J 3 3"]) -> Float[Tensor, "T D"]:
    return rotation[..., :2].flatten(start_dim=1)
