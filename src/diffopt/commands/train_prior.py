"""`diffopt train-prior`: a motion prior trained on captured motion."""

from pathlib import Path

from rich.console import Console

from diffopt.training.motion_prior import train
from diffopt.training.options import PriorTraining


def train_prior(options: PriorTraining, console: Console) -> Path:
    """Train a motion prior and say how to use it.

    Returns:
        The weights.
    """
    weights = train(options)
    console.print(f"Trained prior: {weights}. Use it with `prior.path={weights}`.")
    return weights
