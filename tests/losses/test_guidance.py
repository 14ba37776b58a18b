"""Score distillation against eq. 3 written out, and the limits of its targets. The prior is a small random one."""

import pytest
import torch

from diffopt.losses.guidance import Guidance, clean_target, guidance_loss, guidance_target, noise_levels
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.motion_prior import MotionPrior, PriorDescription


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    size = DenoiserSize(width=32, depth=1, heads=2)
    made = MotionPrior(PriorDescription(size=size, num_steps=100, window=16)).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(std=0.1)
    return made


@pytest.fixture
def features(prior):
    return torch.randn(2, 12, len(prior.mean), generator=torch.Generator().manual_seed(1))


def drawn(prior, guidance, features, generator):
    """The loss of features that are drawn to a target of their own."""
    return guidance_loss(prior, guidance, features, guidance_target(prior, guidance, features.detach(), 0.0, generator))


def test_gradient_is_that_of_equation_3(prior, features):
    """w (alpha/sigma) (x - x_hat) = w (eps_hat - eps), with eps_hat computed from the network's x_hat, by hand."""
    features = features.requires_grad_()
    level = torch.tensor([40, 40])
    guidance = Guidance(noise_start=40 / 99, noise_end=40 / 99, articulation_noise=1.0, score_weighting=True)

    drawn(prior, guidance, features, torch.Generator().manual_seed(3)).backward()

    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(3))
    alpha, sigma = (values[40] for values in (prior.schedule.alpha, prior.schedule.sigma))
    with torch.no_grad():
        clean = prior.denoise(alpha * features + sigma * noise, level, level)
        eps_hat = (alpha * features + sigma * noise - alpha * clean) / sigma
    for block in (prior.root, prior.articulation):
        count = features[..., block].numel()
        expected = sigma**2 * (eps_hat - noise)[..., block] / count
        assert (features.grad[..., block] - expected).abs().max() < 1e-4 * expected.abs().max()


def test_one_norm_weighs_every_feature_alike(prior, features):
    """Eq. 3 over all features at once: the gradient is that of the whole vector, the root's numbers as any other."""
    features = features.requires_grad_()
    guidance = Guidance(noise_start=40 / 99, noise_end=40 / 99, score_weighting=True, one_norm=True)

    drawn(prior, guidance, features, torch.Generator().manual_seed(3)).backward()

    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(3))
    alpha, sigma = (values[40] for values in (prior.schedule.alpha, prior.schedule.sigma))
    with torch.no_grad():
        noised = alpha * features + sigma * noise
        eps_hat = (noised - alpha * prior.denoise(noised, *[torch.tensor([40, 40])] * 2)) / sigma
    expected = sigma**2 * (eps_hat - noise) / features.numel()
    assert (features.grad - expected).abs().max() < 1e-4 * expected.abs().max()


def test_no_gradient_goes_through_the_network(prior, features):
    target = clean_target(prior, features.requires_grad_(), *[torch.tensor([50, 50])] * 2, 1, torch.Generator())
    assert not target.requires_grad


def test_one_ddim_step_is_the_plain_estimate_and_more_end_without_noise(prior, features):
    level = torch.tensor([60, 60])
    one = clean_target(prior, features, level, level, 1, torch.Generator().manual_seed(0))
    noise = torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    noised = prior.schedule.alpha[60] * features + prior.schedule.sigma[60] * noise
    assert torch.allclose(one, prior.denoise(noised, level, level), atol=1e-5)

    # Two steps by hand: 60, then 30.
    sixty, thirty = ((prior.schedule.alpha[k], prior.schedule.sigma[k]) for k in (60, 30))
    implied = (noised - sixty[0] * one) / sixty[1]
    half = torch.tensor([30, 30])
    expected = prior.denoise(thirty[0] * one + thirty[1] * implied, half, half)
    two = clean_target(prior, features, level, level, 2, torch.Generator().manual_seed(0))
    assert torch.allclose(two, expected, atol=1e-4)


def test_noise_falls_when_annealed_and_stays_in_range_when_drawn():
    generator = torch.Generator().manual_seed(0)
    annealed = Guidance(noise_start=0.8, noise_end=0.2)
    assert torch.allclose(noise_levels(annealed, 0.0, 2, generator), torch.tensor([0.8, 0.8]))
    assert torch.allclose(noise_levels(annealed, 0.5, 2, generator), torch.tensor([0.5, 0.5]))
    drawn = noise_levels(Guidance(noise_start=0.8, noise_end=0.2, annealed=False), 0.0, 1000, generator)
    assert drawn.min() >= 0.2 and drawn.max() <= 0.8 and drawn.std() > 0.1


def test_articulation_is_given_when_its_noise_is_zero(prior, features):
    """Conditional guidance: the articulation enters the network as it is."""
    seen = {}
    original = prior.denoise

    def spy(noised, root_level, articulation_level, valid=None):
        seen["articulation"], seen["level"] = noised[..., prior.articulation].clone(), articulation_level
        return original(noised, root_level, articulation_level, valid)

    prior.denoise = spy
    try:
        guidance = Guidance(noise_start=0.5, noise_end=0.5, articulation_noise=0.0)
        drawn(prior, guidance, features, torch.Generator().manual_seed(0))
    finally:
        prior.denoise = original
    alpha = prior.schedule.alpha[0]
    distance = (seen["articulation"] - alpha * features[..., prior.articulation]).abs().max()
    assert seen["level"].eq(0).all() and distance < 5 * prior.schedule.sigma[0]
