"""What each way of making more of little motion is worth: small priors trained without it, judged on held-out people.

    python benchmarks/prior_augmentation.py MOCAP_FOLDER [--steps 400] [--seeds 0] [--out FOLDER]

Every run sees the same number of windows, and all are judged on the same windows of the held-out people, with all parts
in them. Prints errors relative to the run that leaves nothing out: above 1, the part helps people not trained on.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.config import load_prior_training
from diffopt.mocap.reading import split
from diffopt.mocap.sources import read_sources
from diffopt.prior.motion_prior import MotionPrior, load_prior
from diffopt.training.motion_prior import VALIDATION_SEED, PriorFit, path_errors, train
from diffopt.training.options import PriorTraining
from diffopt.training.windows import MotionWindows

COLUMNS = ("loss", "path", "displacement", "root_velocity", "rotations", "positions")
BATCHES = 20
LEFT_OUT: dict[str, dict[str, float]] = {
    "nothing": {},
    "mirror images": {"augmentation.mirrored": 0.0},
    "other speeds": {"augmentation.slowest": 1.0, "augmentation.fastest": 1.0},
    "other proportions": {"augmentation.stature": 0.0, "augmentation.limb": 0.0, "augmentation.bone_m": 0.0},
    "the fitted body": {"augmentation.fitted_body": 0.0},
    "exchanged upper bodies": {"augmentation.recombined": 0.0},
    "other rest poses": {"augmentation.rest_deg": 0.0},
    "tilted floors": {"augmentation.tilt_deg": 0.0},
    "errors of estimators": {"noise.share": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", help="folder with the motions that configs/prior.yaml splits")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--out", type=Path, default=Path("out/prior_augmentation"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    small = ["network.width=96", "network.depth=3", "network.heads=4", f"steps={options.steps}", "warmup_steps=50",
             f"validate_every={options.steps}", "ema=0.99", f"data={options.mocap}"]  # fmt: skip
    whole_recipe = load_prior_training("configs/prior.yaml", small)
    found: dict[str, list[dict[str, float]]] = {}
    for name, changes in LEFT_OUT.items():
        for seed in options.seeds.split(","):
            out = options.out / f"{name.replace(' ', '_')}-{seed}"
            if not (out / "prior.safetensors").exists():
                left_out = [f"windows.{key}={value}" for key, value in changes.items()]
                train(load_prior_training("configs/prior.yaml", [*small, *left_out, f"seed={seed}", f"out={out}"]))
            prior = load_prior(out / "prior.safetensors")
            assert isinstance(prior, MotionPrior)
            found.setdefault(name, []).append(judge(prior, whole_recipe))
    print("| left out | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    whole = {column: np.mean([run[column] for run in found["nothing"]]) for column in COLUMNS}
    for name, runs in found.items():
        ratios = [np.mean([run[column] for run in runs]) / whole[column] for column in COLUMNS]
        print(f"| {name} | " + " | ".join(f"{ratio:.3f}" for ratio in ratios) + " |")
    print("\nWith all: " + ", ".join(f"{column} {value:.3f}" for column, value in whole.items()))


@torch.no_grad()
def judge(prior: MotionPrior, config: PriorTraining) -> dict[str, float]:
    """The training losses of a prior on augmented windows of the held-out people, and the error of its path, metres."""
    _, held_out = split(
        read_sources(config.data, config.sources, config.identities, config.kinds), config.validation, config.excluded
    )
    skeleton = load_body().skeleton(torch.zeros(10))[:BODY_JOINTS]
    fit, total = PriorFit(config, prior), dict.fromkeys(COLUMNS, 0.0)
    for index, batch in enumerate(MotionWindows(held_out, config.windows, skeleton, BATCHES, VALIDATION_SEED)):
        generator = torch.Generator().manual_seed(index)
        levels = fit.draw_levels(len(batch.clean), generator)
        losses = {**fit.losses(prior, batch, levels, generator), "path": path_errors(prior, batch).mean()}
        for name in COLUMNS:
            total[name] += float(losses[name]) / BATCHES
    return total


if __name__ == "__main__":
    main()
