"""The closed-form translation against a general optimizer."""

import numpy as np
import torch
from scipy.optimize import least_squares

from diffopt.geometry.translation import solve_translation

FOCAL, CENTER = 900.0, (400.0, 300.0)


def scene(noise_px: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(6, 12, 3, generator=generator, dtype=torch.float64) * 0.4
    truth = torch.tensor([0.3, -0.2, 4.0]) + torch.randn(6, 3, generator=generator, dtype=torch.float64) * 0.3
    placed = points + truth[:, None]
    pixels = FOCAL * placed[..., :2] / placed[..., 2:] + torch.tensor(CENTER)
    pixels = pixels + noise_px * torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
    weight = torch.rand(6, 12, generator=generator, dtype=torch.float64)
    return points, pixels, weight, truth


def solve(points, pixels, weight, rounds=4):
    frames = len(points)
    focal, center = torch.full((frames,), FOCAL).double(), torch.tensor(CENTER).double().expand(frames, 2)
    return solve_translation(points, pixels, weight, focal, center, rounds)


def test_perfect_keypoints_give_the_translation_in_one_round():
    points, pixels, weight, truth = scene(0.0)

    assert torch.allclose(solve(points, pixels, weight, rounds=1), truth, atol=1e-6)


def test_noisy_keypoints_give_what_brute_force_finds():
    points, pixels, weight, _ = scene(5.0)
    found = solve(points, pixels, weight)

    for frame in range(len(points)):

        def residual(place, frame=frame):
            placed = points[frame].numpy() + place
            seen = FOCAL * placed[:, :2] / placed[:, 2:] + np.array(CENTER)
            return ((seen - pixels[frame].numpy()) * np.sqrt(weight[frame].numpy())[:, None]).ravel()

        best = least_squares(residual, [0.0, 0.0, 3.0], xtol=1e-12, ftol=1e-12)
        cost = (residual(found[frame].numpy()) ** 2).sum() / 2
        assert cost < best.cost * 1.0001
        assert np.abs(found[frame].numpy() - best.x).max() < 1e-3


def test_unseen_keypoints_are_never_read():
    points, pixels, weight, truth = scene(0.0)
    pixels[:, :8], weight[:, :8] = torch.nan, 0.0

    assert torch.allclose(solve(points, pixels, weight), truth, atol=1e-6)
