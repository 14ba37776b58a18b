"""What the legs say about the path: the velocity of the root that keeps the foot in contact where it is.

All of it depends on the articulation alone (joints relative to the root, axes of the world), never on the root's path,
and is smooth, so that gradients pass. World: y up, metres, metres per second.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.bounds import at_least, positive
from diffopt.device import rows

TOES = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
# `foot_contact` is part of the features that a motion prior is trained on: another number here asks for another prior,
# so these are no settings. Found by search on noisy captured motion, people whom the shipped prior was not trained on
# among it, for the error of the velocity and the bias of the mean speed: a blunt first choice mixes in the swinging
# foot, which passes the standing one at its own height, and loses a fifth of the speed.
LOWER_M = 0.01
"""First guess: a toe this much higher than the other is a factor e less likely to carry, metres."""
HEIGHT_M = 0.02
"""Later: a toe this much higher than the lower one counts a factor e less, metres."""
AGREEMENT_M_S = 0.5
"""Standard deviation of the velocities that a toe in contact implies about the smoothed one, metres per second."""
COARSE_SECONDS = 0.1
"""Width of the Gaussian that a toe must agree with."""
FINE_SECONDS = 0.035
"""Width of the Gaussian that smooths the result: less than one frame at 20 Hz."""
PASSES = 3
FLOOR_WEIGHT = 1e-4
"""What a toe weighs at least: flight is bridged by the steps around it."""


@dataclass(frozen=True)
class StanceOptions:
    """How feet that almost stand are made to stand, and people who go nowhere kept in place."""

    slip_m_s: float = positive(0.25)
    """A toe that slips faster than this is let go, metres per second. Judgement: standing toes of a noisy pose slip by
    less, swinging ones pass at twice the walking speed and more."""
    height_m: float = positive(0.03)
    """A toe that is this much higher than the other counts a factor e less, metres. Judgement: toes swing past the
    ground at 1 to 2 cm (Winter, 1992), and poses are off by centimetres."""
    trust: float = positive(0.1)
    """Weight of the given velocity against that of a foot that stands, which is 1. Judgement: feet decide."""
    smoothness: float = at_least(0, 0.2)
    """Weight of the given velocity's changes, likewise. Judgement."""
    still_m_s: float = positive(0.18)
    """Speed at which half of an averaged velocity is taken for noise, metres per second: a walk of 0.5 m/s keeps 98
    percent. Chosen on people held out from the prior's training, whose standing poses drift 5 cm/s under 4 to 8 degrees
    of noise (`benchmarks/prior.py`)."""
    still_s: float = positive(0.5)
    """Width of the Gaussian that averages, seconds: half a stride, over which swaying cancels."""


class FootContact(NamedTuple):
    """Per step: the root's velocity that the foot in contact implies, and how far each toe is in contact."""

    velocity: Float[Tensor, "*B S 3"]
    support: Float[Tensor, "*B S 2"]


def foot_contact(
    relative: Float[Tensor, "*B T 22 3"], fps: float, valid: Bool[Tensor, "*B T"] | None = None
) -> FootContact:
    """The root's velocity under the assumption that the toe in contact does not move.

    The lower toe is a first guess. It errs for single frames whenever the feet pass each other or both are in the air.
    So the guess is smoothed, and each toe is weighed anew by its height and by how well the velocity it implies agrees
    with the smoothed one (iteratively reweighted least squares); flight is bridged by the steps around it.

    Args:
        relative: joints relative to the root, in the axes of the world, metres.
        fps: frames per second.
        valid: frames that exist, else all.

    Returns:
        For each of the T - 1 steps the velocity, metres per second, and the weights of the left and right toe, 0 to 1.
    """
    toes = relative.index_select(-2, rows(TOES, relative.device))
    step = torch.diff(toes, dim=-3)
    implied = -fps * step
    height = toes[..., :-1, :, 1] + step[..., 1] / 2
    exists = torch.ones_like(height[..., 0]) if valid is None else (valid[..., 1:] & valid[..., :-1]).to(height)

    support = torch.softmax(-height / LOWER_M, dim=-1)
    velocity = (support[..., None] * implied).sum(dim=-2)
    above = height - height.amin(dim=-1, keepdim=True)
    for _ in range(PASSES):
        coarse = weighted_mean(velocity, exists, COARSE_SECONDS * fps)
        disagreement = (implied - coarse[..., None, :])[..., ::2].square().sum(dim=-1)
        support = torch.exp(-above / HEIGHT_M - disagreement / (2 * AGREEMENT_M_S**2))
        weight = exists[..., None] * (support + FLOOR_WEIGHT)
        total = weight.sum(dim=-1)
        velocity = (weight[..., None] * implied).sum(dim=-2) / total.clamp(min=FLOOR_WEIGHT)[..., None]
        velocity = weighted_mean(velocity, total, FINE_SECONDS * fps)
    return FootContact(velocity, support)


def stance_toe(relative: Float[Tensor, "*B T 22 3"], fps: float) -> Float[Tensor, "*B S 3"]:
    """The baseline: the lower toe of each step stands still, whatever its neighbours say. Metres per second."""
    toes = relative.index_select(-2, rows(TOES, relative.device))
    step = torch.diff(toes, dim=-3)
    lower = (toes[..., :-1, :, 1] + step[..., 1] / 2).argmin(dim=-1)
    return -fps * step.gather(-2, lower[..., None, None].expand(*lower.shape, 1, 3)).squeeze(-2)


def lock_feet(
    velocity: Float[Tensor, "*B S 3"],
    relative: Float[Tensor, "*B T 22 3"],
    fps: float,
    stance: StanceOptions,
) -> Float[Tensor, "*B S 3"]:
    """Change a root velocity so that feet which almost stand do stand: the soft foot lock.

    Minimises per step trust |v - velocity|^2 + sum over toes of w |v - v_toe|^2 + smoothness |change of v - change of
    velocity|^2, with v_toe the velocity that plants a toe and w how low it is and how little it slips under `velocity`.

    Args:
        velocity: root velocity, axes of the world, metres per second.
        relative: joints relative to the root, metres.
        fps: frames per second.
        stance: which toes stand, and how far to believe them.

    Returns:
        The locked velocity, metres per second.
    """
    toes = relative.index_select(-2, rows(TOES, relative.device))
    step = torch.diff(toes, dim=-3)
    implied = -fps * step
    height = toes[..., :-1, :, 1] + step[..., 1] / 2
    slip = (implied - velocity[..., None, :]).square().sum(dim=-1)
    above = height - height.amin(dim=-1, keepdim=True)
    weight = torch.exp(-above / stance.height_m - slip / (2 * stance.slip_m_s**2))

    steps = velocity.shape[-2]
    change = torch.diff(torch.eye(steps, dtype=velocity.dtype, device=velocity.device), dim=0)
    system = torch.diag_embed(stance.trust + weight.sum(dim=-1)) + stance.smoothness * change.mT @ change
    correction = (weight[..., None] * (implied - velocity[..., None, :])).sum(dim=-2)
    return velocity + torch.linalg.solve(system, correction)


def hold_still(velocity: Float[Tensor, "*B S 3"], fps: float, stance: StanceOptions) -> Float[Tensor, "*B S 3"]:
    """Silence the root of a person who goes nowhere: noise of a pose that stands looks like a slow shuffle.

    Errors of a standing pose move the root to and fro and average out over a second; steps do not. The factor is
    s^4 / (s^4 + still_m_s^4), with s the planar speed of the averaged velocity.

    Args:
        velocity: root velocity, axes of the world, metres per second.
        fps: steps per second.
        stance: what speed is none, averaged over how long.
    """
    mean = weighted_mean(velocity, torch.ones_like(velocity[..., 0]), stance.still_s * fps)
    fourth = mean[..., ::2].square().sum(dim=-1, keepdim=True).square()
    return velocity * fourth / (fourth + stance.still_m_s**4)


def kinematic_velocity(
    relative: Float[Tensor, "*B T 22 3"], fps: float, stance: StanceOptions
) -> Float[Tensor, "*B S 3"]:
    """The root's velocity from the legs alone, m/s: foot in contact, foot lock, stillness. Enough for an initial path.

    Args:
        relative: joints relative to the root, in the axes of the world, metres.
        fps: frames per second.
        stance: which feet stand.
    """
    return hold_still(lock_feet(foot_contact(relative, fps).velocity, relative, fps, stance), fps, stance)


def weighted_mean(
    values: Float[Tensor, "*B S C"], weight: Float[Tensor, "*B S"], width: float
) -> Float[Tensor, "*B S C"]:
    """Mean over time under a Gaussian `width` frames wide, times a weight per step; nothing lies beyond the ends."""
    reach = max(1, round(3 * width))
    window = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device) / width) ** 2).to(values)
    stacked = torch.cat((values * weight[..., None], weight[..., None]), dim=-1)
    series = stacked.movedim(-1, -2).reshape(-1, 1, values.shape[-2])
    sums = torch.nn.functional.conv1d(series, window[None, None], padding=reach)
    sums = sums.reshape(*stacked.shape[:-2], stacked.shape[-1], values.shape[-2]).movedim(-2, -1)
    return sums[..., :-1] / sums[..., -1:].clamp(min=1e-6)
