"""`diffopt train-pose-prior`: a prior of single poses trained on captured motion."""

from pathlib import Path

from rich.console import Console

from diffopt.training.pose_prior import PosePriorTraining, train


def train_pose_prior(options: PosePriorTraining, console: Console) -> Path:
    """Train a prior of single poses and say how to use it.

    Returns:
        The weights.
    """
    weights, error_deg = train(options)
    console.print(f"Trained pose prior: {weights}. Poses of the validation subjects come back to {error_deg:.1f} deg.")
    console.print(f"Use it with `fit.pose_prior={weights}` where a stage weighs pose_prior.", soft_wrap=True)
    return weights
