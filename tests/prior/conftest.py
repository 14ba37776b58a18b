"""A motion that needs no file."""

import pytest
import roma
import torch

from diffopt.mocap.clips import AVERAGE_OFFSETS, pose
from diffopt.training.augment import Windows

FPS = 20.0


@pytest.fixture
def random_motion():
    return make_random_motion


@pytest.fixture
def windows(random_motion):
    def make(batch: int = 3, frames: int = 20) -> Windows:
        motions = [random_motion(frames, seed, torch.float32) for seed in range(batch)]
        rotations, roots = torch.stack([each[0] for each in motions]), torch.stack([each[1] for each in motions])
        exists = torch.ones(batch, frames, dtype=torch.bool)
        return Windows(rotations, roots, AVERAGE_OFFSETS.repeat(batch, 1, 1), exists)

    return make


def make_random_motion(frames: int = 30, seed: int = 0, dtype=torch.float64):
    """Smooth random joint angles on a path that curves; upright within 30 degrees or so."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(frames, dtype=dtype)[:, None, None] / FPS
    swing = torch.randn(2, 22, 3, generator=generator, dtype=dtype) * 0.3
    rotations = roma.rotvec_to_rotmat(swing[0] * torch.sin(2 * time + swing[1] * 9))
    turn = torch.zeros(frames, 3, dtype=dtype)
    turn[:, 1] = 2.5 + 1.5 * time[:, 0, 0]
    rotations[:, 0] = roma.rotvec_to_rotmat(turn) @ rotations[:, 0]
    root = torch.stack((torch.sin(time), 0.95 + 0.03 * torch.cos(5 * time), 1.3 * time), dim=-1)[:, 0, 0]
    return rotations, root, pose(rotations, root, AVERAGE_OFFSETS.to(dtype))
