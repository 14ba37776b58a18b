"""The neural motion field: pose, orientation and position as functions of phase (paper, section 3.1; NeMo).

A clip is one curve through pose space. Three networks of phase give it: theta = f_theta(phase), phi = f_phi(phase),
x = f_x(phase). The curve is continuous, so it is read at the video's frames for the pixels and at the prior's rate for
the prior, and never resampled.
"""

import math

import roma
import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.motion.motion import Motion

BODY_ROTATIONS = 23


class PhaseEncoding(nn.Module):
    """Cosines of phase up to a bandwidth, so that a clip of any length is resolved alike.

    A plain network of phase cannot follow a minute of motion; the number of cosines grows with the clip's duration and
    keeps the finest one at `bandwidth_hz`. Cosines of half periods, unlike a Fourier series, do not tie the clip's end
    to its beginning; phase itself carries the drift from one to the other.
    """

    frequencies: Tensor

    def __init__(self, duration_s: float, bandwidth_hz: float) -> None:
        super().__init__()
        count = max(1, math.ceil(2 * bandwidth_hz * duration_s))
        self.register_buffer("frequencies", math.pi * torch.arange(1, count + 1), persistent=False)
        self.width = count + 1

    def forward(self, phase: Float[Tensor, "N"]) -> Float[Tensor, "N D"]:
        waves = torch.cos(phase[:, None] * self.frequencies)
        return torch.cat([2 * phase[:, None] - 1, waves], dim=1)


def _network(inputs: int, width: int, layers: int, bias: Float[Tensor, "D"]) -> nn.Sequential:
    """A network that starts near the constant `bias`.

    SiLU, not the ancestors' ReLU: its kinks reach the motion as jitter. The last layer is small but not zero: the
    6D rotations' gradient does not exist at zero, and equal rows would never part.
    """
    parts: list[nn.Module] = [nn.Linear(inputs, width), nn.SiLU()]
    for _ in range(layers - 2):
        parts += [nn.Linear(width, width), nn.SiLU()]
    last = nn.Linear(width, len(bias))
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.copy_(bias)
    return nn.Sequential(*parts, last)


def rotations_from_6d(numbers: Float[Tensor, "*N 6"]) -> Float[Tensor, "*N 3 3"]:
    """Rotation matrices from six numbers, the first two columns row by row (Zhou et al., 2019)."""
    return roma.special_gramschmidt(rearrange(numbers, "... (row column) -> ... row column", column=2))


class ExpectedPath(nn.Module):
    """A straight path that positions are learned relative to, in units of how far the real one is expected to leave it.

    A runner covers eight metres in a clip where centimetres count: told the straight part, a network has little left to
    learn.
    """

    start: Tensor
    end: Tensor
    spread_m: Tensor

    def __init__(self, transl: Float[Tensor, "T 3"]) -> None:
        super().__init__()
        for name, size in (("start", 3), ("end", 3), ("spread_m", ())):
            self.register_buffer(name, torch.zeros(size))
        self.expect(transl)

    @torch.no_grad()
    def expect(self, transl: Float[Tensor, "T 3"]) -> None:
        """Expect this path, metres."""
        self.start.copy_(transl[0])
        self.end.copy_(transl[-1])
        straight = torch.lerp(self.start, self.end, torch.linspace(0, 1, len(transl), device=transl.device)[:, None])
        self.spread_m.copy_((transl - straight).norm(dim=1).max().clamp_min(0.3))

    def forward(self, phase: Float[Tensor, "N"], offset: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """Positions in the world, metres, from offsets in units of the spread."""
        return torch.lerp(self.start, self.end, phase[:, None]) + self.spread_m * offset


class MotionField(nn.Module):
    """The paper's {f_theta, f_phi, f_x} (section 3.1). Reading it at N phases gives N frames of motion."""

    def __init__(
        self, duration_s: float, bandwidth_hz: float, width: int, layers: int, expected_path: "ExpectedPath"
    ) -> None:
        """
        Args:
            duration_s: length of the clip, seconds.
            bandwidth_hz: finest cosine of the phase encoding.
            width: units of each hidden layer.
            layers: linear layers of each network, at least 2.
            expected_path: what f_x is learned relative to.
        """
        super().__init__()
        self.encoding = PhaseEncoding(duration_s, bandwidth_hz)
        identity = rearrange(torch.eye(3)[:, :2], "row column -> (row column)")
        identities = repeat(identity, "six -> (joint six)", joint=BODY_ROTATIONS)
        self.pose = _network(self.encoding.width, width, layers, identities)
        self.orient = _network(self.encoding.width, width, layers, identity)
        self.position = _network(self.encoding.width, width, layers, torch.zeros(3))
        self.expected_path = expected_path

    def start_from(self, initial: Motion) -> None:
        """Learn positions relative to another initial motion; that the field mimics it is the warm-up's work."""
        self.expected_path.expect(initial.transl)

    def forward(self, phase: Float[Tensor, "N"]) -> Motion:
        """The motion at the given phases (0 is the first frame, 1 the last)."""
        encoded = self.encoding(phase)
        pose = rearrange(self.pose(encoded), "n (joint six) -> n joint six", six=6)
        return Motion(
            body_pose=rotations_from_6d(pose),
            global_orient=rotations_from_6d(self.orient(encoded)),
            transl=self.expected_path(phase, self.position(encoded)),
        )
