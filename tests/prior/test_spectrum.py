import numpy as np
import pytest
import scipy.fft
import torch

from diffopt.prior.smpl_features import FEATURE_SIZE, SLICES
from diffopt.prior.spectrum import cosine_basis, power, quieten


@pytest.mark.parametrize("frames", [2, 13, 64])
def test_the_basis_is_the_cosine_transform(frames):
    values = np.random.default_rng(0).normal(size=(frames, 3))
    expected = scipy.fft.dct(values, axis=0, norm="ortho")
    np.testing.assert_allclose(cosine_basis(frames).numpy() @ values, expected, atol=1e-12)


def test_power_falls_with_frequency_and_averages_one():
    table = power(64, 20.0)
    assert (table.diff(dim=0) <= 0).all() and (table > 0).all()
    torch.testing.assert_close(table.mean(dim=0), torch.ones(FEATURE_SIZE), atol=0.03, rtol=0)
    # 1 Hz is the same entry of another basis: its share of the power does not hang on the window's length.
    torch.testing.assert_close(power(40, 20.0)[4] / 40, power(20, 20.0)[2] / 20, rtol=0.6, atol=0)


def test_without_noise_nothing_is_taken_away():
    features = torch.randn(2, 30, FEATURE_SIZE)
    torch.testing.assert_close(quieten(features, 0.0, 20.0), features, atol=1e-5, rtol=0)


def test_no_other_gain_errs_less():
    """Wiener: on signals of the expected power under white noise the filter is nearest to the signal."""
    generator, frames, variance = torch.Generator().manual_seed(0), 32, 0.3
    basis, expected = cosine_basis(frames).float(), power(frames, 20.0)
    clean = basis.mT @ (expected.sqrt() * torch.randn(400, frames, FEATURE_SIZE, generator=generator))
    noisy = clean + variance**0.5 * torch.randn(clean.shape, generator=generator)

    def error(assumed):
        return (quieten(noisy, assumed, 20.0) - clean).square().mean()

    assert error(variance) < 0.25 * (noisy - clean).square().mean()
    assert error(variance) < min(error(variance / 3), error(variance * 3))


def test_poses_are_slower_than_velocities():
    noise = torch.randn(8, 64, FEATURE_SIZE, generator=torch.Generator().manual_seed(0))
    left = quieten(noise, 0.5, 20.0).square().mean(dim=(0, 1))
    assert left[SLICES["positions"]].mean() < 0.6 * left[SLICES["velocities"]].mean()
