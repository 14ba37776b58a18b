"""`diffopt train-prior`, each of whose processes notes what its steps draw.

A script, since Lightning starts it again for every further process: `python witness.py NOTES ARGUMENTS...`.
"""

import json
import sys
from pathlib import Path

import torch

from diffopt.cli import main
from diffopt.training.motion_prior import PriorFit

compute = PriorFit.losses


def noted(fit, prior, batch, levels, generator):
    if fit.training:
        seeds = {"noise": generator.initial_seed(), "dropout": torch.initial_seed()}
        note = {"step": fit.global_step, "windows": batch[0].sum().item(), **seeds}
        with (Path(sys.argv[1]) / f"{fit.global_rank}.jsonl").open("a") as notes:
            notes.write(json.dumps(note) + "\n")
    return compute(fit, prior, batch, levels, generator)


if __name__ == "__main__":
    PriorFit.losses = noted
    sys.exit(main(sys.argv[2:]))
