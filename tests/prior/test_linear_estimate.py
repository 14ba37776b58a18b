import numpy as np
import pytest
import scipy.fft
import torch

from diffopt.prior.linear_estimate import LEAST_POWER, LinearEstimate, cosine_basis


def levels(alpha_squared: float, features: int, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    alpha = torch.full((batch, features), alpha_squared).sqrt()
    return alpha, (1 - alpha.square()).sqrt()


@pytest.mark.parametrize("frames", [2, 13, 64])
def test_the_basis_is_the_cosine_transform(frames):
    values = np.random.default_rng(0).normal(size=(frames, 3))
    expected = scipy.fft.dct(values, axis=0, norm="ortho")
    np.testing.assert_allclose(
        cosine_basis(frames, like=torch.zeros(1, dtype=torch.float64)).numpy() @ values, expected, atol=1e-12
    )


def slow_and_alike(count: int, frames: int, seed: int) -> torch.Tensor:
    """Slow motions in which features repeat each other, as motion features do: two blocks of 3 and 4."""
    generator = torch.Generator().manual_seed(seed)
    falling = 6 / (1 + torch.arange(frames)[:, None] ** 2)
    sources = cosine_basis(frames, like=torch.zeros(1)).mT @ (
        falling * torch.randn(count, frames, 3, generator=generator)
    )
    mixing = torch.randn(3, 7, generator=torch.Generator().manual_seed(9))
    mixing[:2, :3] = 0
    return sources @ mixing


def test_it_is_the_conditional_mean_of_gaussian_motion():
    """Against the textbook: E[x0 | xk] = alpha C (alpha^2 C + sigma^2)^-1 xk, with the full covariance written out."""
    frames, estimate = 6, LinearEstimate((3, 4), 6)
    estimate.learn(slow_and_alike(4000, frames, 0))
    alpha, sigma = levels(0.7, 7)
    noisy = torch.randn(1, frames, 7, generator=torch.Generator().manual_seed(2))

    basis = torch.kron(cosine_basis(frames, like=torch.zeros(1)).mT.contiguous(), estimate.axes)
    covariance = basis @ torch.diag(estimate.power.flatten()) @ basis.mT
    gain = alpha[0, 0] * covariance @ torch.linalg.inv(alpha[0, 0] ** 2 * covariance + sigma[0, 0] ** 2 * torch.eye(42))

    torch.testing.assert_close(estimate(noisy, alpha, sigma).flatten(), gain @ noisy.flatten(), atol=1e-4, rtol=1e-4)


def test_it_errs_less_than_scaling_and_than_other_noise_levels():
    estimate = LinearEstimate((3, 4), 32)
    estimate.learn(slow_and_alike(300, 32, 0))
    clean, (alpha, sigma) = slow_and_alike(200, 32, 1), levels(0.5, 7, 200)
    noisy = alpha[:, None] * clean + sigma[:, None] * torch.randn(
        clean.shape, generator=torch.Generator().manual_seed(3)
    )

    def error(assumed: float) -> float:
        kept, lost = levels(assumed, 7, 200)
        return float((estimate(noisy * (kept / alpha)[:, None], kept, lost) - clean).square().mean())

    assert error(0.5) < 0.5 * float((alpha[:, None] * noisy - clean).square().mean())
    assert error(0.5) < min(error(0.3), error(0.7))


def test_blocks_are_noised_apart():
    estimate = LinearEstimate((3, 4), 16)
    estimate.learn(slow_and_alike(300, 16, 0))
    clean = slow_and_alike(1, 16, 5)
    alpha, sigma = torch.ones(1, 7), torch.zeros(1, 7)
    alpha[:, :3], sigma[:, :3] = 0.0, 1.0

    found = estimate(clean, alpha, sigma)

    torch.testing.assert_close(found[..., 3:], clean[..., 3:], atol=1e-4, rtol=1e-4)
    assert found[..., :3].abs().max() == 0


def test_a_shorter_window_has_its_powers_at_the_same_frequencies():
    estimate = LinearEstimate((1,), 64)
    estimate.power.copy_(torch.arange(64.0)[:, None] + LEAST_POWER)
    halved = estimate._power_of(32)
    torch.testing.assert_close(halved[:, 0], 2 * torch.arange(32.0) + LEAST_POWER)
    torch.testing.assert_close(estimate._power_of(64), estimate.power)
    assert estimate._power_of(100)[-1] == estimate.power[-1]


def test_before_it_learns_it_keeps_the_part_that_noise_left():
    estimate, features = LinearEstimate((3, 4), 16), torch.randn(2, 9, 7)
    alpha, sigma = levels(0.6, 7, 2)
    torch.testing.assert_close(estimate(features, alpha, sigma), alpha[:, None] * features)
