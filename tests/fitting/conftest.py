"""A short simulated walk, and a recipe of a few steps with the default one's stages."""

import pytest
import torch

from diffopt.body.model import load_body
from diffopt.config import load_config
from diffopt.prior.denoiser import DenoiserSize
from diffopt.prior.motion_prior import MotionPrior, PriorDescription
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

STEPS = {"pose": 2, "warmup": 3, "guidance": 5, "finetune": 3}


@pytest.fixture(scope="session")
def body():
    return load_body()


@pytest.fixture(scope="session")
def walk(body):
    """Two seconds of a walk, filmed by a camera that follows, with the errors of real tools."""
    motion = synthetic_walk(body, num_frames=60, fps=30.0, seed=0)
    return simulate_observation(body, *motion, fps=30.0, camera="follow", seed=0)


@pytest.fixture(scope="session")
def small_prior():
    """A random prior: enough to see that a fit asks it and goes on after a stop as if there had been none."""
    torch.manual_seed(0)
    made = MotionPrior(PriorDescription(size=DenoiserSize(width=32, depth=1, heads=2), num_steps=50, window=24))
    return made.eval().requires_grad_(False)


@pytest.fixture
def short_recipe():
    """Stages of 2, 3, 5 and 3 steps."""
    steps = "fit.stages.{}.steps={}"
    overrides = [steps.format(*pair) for pair in STEPS.items()]
    return load_config(overrides=[*overrides, "logging.wandb=disabled", "logging.checkpoint_every=1"])
