import pytest
import torch

from diffopt.mocap.clips import AVERAGE_OFFSETS
from diffopt.training.augment import Windows
from tests.random_motion import random_motion


@pytest.fixture
def windows():
    def make(batch: int = 3, frames: int = 20) -> Windows:
        motions = [random_motion(frames, seed, torch.float32) for seed in range(batch)]
        rotations, roots = torch.stack([each[0] for each in motions]), torch.stack([each[1] for each in motions])
        exists = torch.ones(batch, frames, dtype=torch.bool)
        return Windows(rotations, roots, AVERAGE_OFFSETS.repeat(batch, 1, 1), exists)

    return make
