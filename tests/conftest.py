"""Shapes in signatures are checked by beartype while the tests run; one thread and one seed keep runs repeatable."""

import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook

torch.set_num_threads(1)
_hook = install_import_hook("diffopt", "beartype.beartype")


@pytest.fixture(autouse=True)
def one_seed():
    """Every test draws the same numbers whenever and wherever it runs."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  what libraries draw from


@pytest.fixture
def windows():
    """Makes a batch of motions that need no file."""
    from diffopt.mocap.clip import AVERAGE_OFFSETS
    from diffopt.mocap.retargeting import Windows
    from tests.random_motion import random_motion

    def make(batch: int = 3, frames: int = 20) -> Windows:
        motions = [random_motion(frames, seed, torch.float32) for seed in range(batch)]
        rotations, roots = torch.stack([each[0] for each in motions]), torch.stack([each[1] for each in motions])
        exists = torch.ones(batch, frames, dtype=torch.bool)
        trusted = torch.ones(batch, 22, dtype=torch.bool)
        return Windows(rotations, roots, AVERAGE_OFFSETS.repeat(batch, 1, 1), exists, trusted)

    return make
