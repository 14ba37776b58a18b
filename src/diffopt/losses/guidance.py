"""Score distillation: the diffusion prior's opinion of a motion, as a gradient (paper, eq. 3; DreamFusion).

With a network that predicts the clean motion, eps_hat - eps = (alpha / sigma)(x - x_hat). The gradient of eq. 3,
w (alpha / sigma)(x - sg[x_hat]), is that of half a squared distance to a target that is held still. So guidance is two
questions: which target (how much noise, how many draws, how many denoising steps), and what weight.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from diffopt.bounds import at_least, fraction
from diffopt.prior.interface import GuidingPrior


@dataclass
class Guidance:
    """Which target the prior sets. Noise is given as a share of the schedule, 0 (clean) to 1 (pure noise)."""

    noise_start: float = fraction(0.5)
    """Noise at the beginning of a stage; with `annealed: false`, the upper end of the draw."""
    noise_end: float = fraction(0.05)
    """Noise at the end of a stage; with `annealed: false`, the lower end of the draw."""
    annealed: bool = True
    """Lower the noise as the stage goes on; false draws it anew in every step (the paper's eq. 3)."""
    articulation_noise: float = fraction(1.0)
    """Noise of the articulation as a share of the root's: 1 asks about the whole motion, 0 about the root's path given
    the articulation."""
    draws: int = at_least(1, 1)
    """Noise draws whose targets are averaged."""
    denoise_steps: int = at_least(1, 1)
    """Network evaluations per target: 1 is score distillation, more follow the deterministic sampler (DDIM)."""
    score_weighting: bool = False
    """Weigh by alpha sigma, eq. 3 with w = sigma^2; false weighs every noise level alike."""
    one_norm: bool = False
    """Eq. 3 as it stands, one norm over all features, each number alike; false: the mean of each block by its own
    weight, so that the root's few numbers are not lost among the articulation's hundreds."""
    root_weight: float = at_least(0, 1.0)
    """Weight of the root's path, a block of few numbers."""
    articulation_weight: float = at_least(0, 1.0)
    """Weight of the articulation, a block of hundreds of numbers."""
    windows: int = at_least(1, 2)
    """Windows of a long clip looked at per step."""
    reuse: int = at_least(1, 3)
    """Steps that are drawn to one target before the prior is asked again; the paper asks in every step."""


def noise_levels(guidance: Guidance, progress: float, count: int, generator: torch.Generator) -> Float[Tensor, "B"]:
    """The root's noise in this step, as a share of the schedule.

    Args:
        guidance: noise range and whether it is annealed.
        progress: how far the stage is, 0 to 1.
        count: B.
        generator: source of randomness, on the device of the result.
    """
    if guidance.annealed:
        level = guidance.noise_start + (guidance.noise_end - guidance.noise_start) * progress
        return torch.full((count,), level, device=generator.device)
    low, high = sorted((guidance.noise_start, guidance.noise_end))
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def clean_target(
    prior: GuidingPrior,
    features: Float[Tensor, "B T D"],
    root_level: Int[Tensor, "B"],
    articulation_level: Int[Tensor, "B"],
    steps: int,
    generator: torch.Generator,
) -> Float[Tensor, "B T D"]:
    """What the prior takes the noised features for (x_hat of eq. 2), after `steps` deterministic steps.

    Args:
        prior: the frozen prior.
        features: normalised features of the motion as it is.
        root_level: noise level of the root block.
        articulation_level: noise level of the articulation block.
        steps: network evaluations; between two of them both levels fall by equal parts (DDIM, eta = 0).
        generator: source of the noise.

    Returns:
        Normalised features, no gradient.
    """
    with torch.no_grad():
        noise = torch.randn(features.shape, generator=generator, device=generator.device).to(features)
        noised = _noise(prior, features, noise, root_level, articulation_level)
        estimate = prior.denoise(noised, root_level, articulation_level)
        for step in range(1, steps):
            share = 1 - step / steps
            noise = _implied_noise(prior, noised, estimate, root_level, articulation_level)
            root_level = (root_level * share).long()
            articulation_level = (articulation_level * share).long()
            noised = _noise(prior, estimate, noise, root_level, articulation_level)
            estimate = prior.denoise(noised, root_level, articulation_level)
    return estimate


class GuidanceTarget(NamedTuple):
    """What a motion's features are drawn to; no gradient."""

    clean: Float[Tensor, "B T D"]
    """What the prior takes the features for, x_hat of eq. 2; the mean over noise draws."""
    weight: Float[Tensor, "B"]
    """w of eq. 3 in units of (sigma / alpha): 1, or alpha sigma with `score_weighting`."""


def guidance_target(
    prior: GuidingPrior,
    guidance: Guidance,
    features: Float[Tensor, "B T D"],
    progress: float,
    generator: torch.Generator,
) -> GuidanceTarget:
    """Ask the prior what it takes a motion for.

    Args:
        prior: the frozen prior; no gradient goes through it.
        guidance: how the target is made.
        features: normalised features of B windows of the motion.
        progress: how far the stage is, 0 to 1.
        generator: source of noise, on the device of the features.
    """
    share = noise_levels(guidance, progress, len(features), generator)
    last = prior.schedule.num_steps - 1
    root_level = (share * last).round().long()
    articulation_level = (guidance.articulation_noise * share * last).round().long()
    targets = [
        clean_target(prior, features, root_level, articulation_level, guidance.denoise_steps, generator)
        for _ in range(guidance.draws)
    ]
    weight = torch.ones_like(share)
    if guidance.score_weighting:
        weight = prior.schedule.alpha[root_level] * prior.schedule.sigma[root_level]
    return GuidanceTarget(torch.stack(targets).mean(dim=0), weight.to(features))


def guidance_loss(
    prior: GuidingPrior, guidance: Guidance, features: Float[Tensor, "B T D"], target: GuidanceTarget
) -> Float[Tensor, ""]:
    """L_Diff: half the squared distance of the features to the prior's target (paper, eq. 3).

    Args:
        prior: says which features are the root's.
        guidance: how the blocks are weighted.
        features: normalised features of B windows of the motion, differentiable.
        target: what they are drawn to, see `guidance_target`.

    Returns:
        Mean over windows and frames, each block's mean weighted, dimensionless.
    """
    squared = 0.5 * target.weight[:, None, None] * (features - target.clean).square()
    if guidance.one_norm:
        return squared.mean()
    root, articulation = squared[..., prior.root], squared[..., prior.articulation]
    return guidance.root_weight * root.mean() + guidance.articulation_weight * articulation.mean()


def _block_scales(
    prior: GuidingPrior, root_level: Int[Tensor, "B"], articulation_level: Int[Tensor, "B"], like: Tensor
) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B 1 D"]]:
    """alpha and sigma of every feature, by its block."""
    alpha, sigma = (like.new_empty(like.shape[0], 1, like.shape[-1]) for _ in range(2))
    for block, level in ((prior.root, root_level), (prior.articulation, articulation_level)):
        alpha[..., block] = prior.schedule.alpha[level].to(like)[:, None, None]
        sigma[..., block] = prior.schedule.sigma[level].to(like)[:, None, None]
    return alpha, sigma


def _noise(
    prior: GuidingPrior,
    clean: Float[Tensor, "B T D"],
    noise: Float[Tensor, "B T D"],
    root_level: Int[Tensor, "B"],
    articulation_level: Int[Tensor, "B"],
) -> Float[Tensor, "B T D"]:
    """Forward noising, x_k = alpha_k x_0 + sigma_k eps, by block (paper, eq. 1)."""
    alpha, sigma = _block_scales(prior, root_level, articulation_level, clean)
    return alpha * clean + sigma * noise


def _implied_noise(
    prior: GuidingPrior,
    noised: Float[Tensor, "B T D"],
    estimate: Float[Tensor, "B T D"],
    root_level: Int[Tensor, "B"],
    articulation_level: Int[Tensor, "B"],
) -> Float[Tensor, "B T D"]:
    """The noise that leads from the estimate to the noised features; DDIM keeps it while the level falls."""
    alpha, sigma = _block_scales(prior, root_level, articulation_level, noised)
    return (noised - alpha * estimate) / sigma.clamp_min(1e-4)
