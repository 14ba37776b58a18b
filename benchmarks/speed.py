"""What a fit costs: by length of the clip, and by part of a step.

    python benchmarks/speed.py [--frames 100,300,1000,3000,10000] [--kind local] [--plot cost.png]

Nothing is read: a simulated walk goes to and fro until it is as long as asked. Each length runs in a process of its
own, whose peak memory is told. A stage is timed over its middle steps and counted for all that the recipe gives it;
the rest of the machine's work is in the numbers, so compare them within one run.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from diffopt.body.model import load_body
from diffopt.config import load_config
from diffopt.fitting import run
from diffopt.fitting.fit import SequenceFit
from diffopt.fitting.stages import stage_lengths
from diffopt.observation.observation import FIELDS, Observation
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk

WALK_FRAMES, FPS = 150, 30.0
STEPS = 40
"""Timed of every stage."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--frames", default="100,300,1000,3000,10000", help="lengths of the clip")
    parser.add_argument("--kind", default="local", help="fit.field.kind")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--plot", type=Path, help="picture of cost and memory against frames")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(cost_of(options.one, options.kind, options.device)))
        return
    rows = []
    print("| frames | start s | ms a step, by stage | fit s | s per 100 frames | peak GB |\n|---|---|---|---|---|---|")
    for frames in map(int, options.frames.split(",")):
        command = [sys.executable, __file__, "--one", str(frames), "--kind", options.kind, "--device", options.device]
        row = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()[-1])
        rows.append(row)
        steps = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in row["steps"].items())
        print(
            f"| {frames} | {row['start']:.1f} | {steps} | {row['fit']:.0f} | {100 * row['fit'] / frames:.1f} "
            f"| {row['memory_gb']:.2f} |",
            flush=True,
        )
    if options.plot:
        draw(rows, options.plot)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Cost per frame and memory against the length of the clip."""
    import matplotlib.pyplot as plt

    frames = [row["frames"] for row in rows]
    figure, (cost, memory) = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)
    cost.plot(frames, [100 * row["fit"] / row["frames"] for row in rows], "o-")
    cost.set(xscale="log", xlabel="frames", ylabel="seconds per 100 frames", ylim=(0, None))
    memory.plot(frames, [row["memory_gb"] for row in rows], "o-")
    memory.set(xscale="log", xlabel="frames", ylabel="peak memory, GB", ylim=(0, None))
    figure.savefig(path, dpi=150)


def cost_of(frames: int, kind: str, device: str) -> dict[str, Any]:
    """Seconds to the start, milliseconds a step by stage, seconds of the whole fit, and the peak of memory."""
    torch.set_num_threads(1)
    config = load_config(overrides=["logging.wandb=disabled", f"fit.field.kind={kind}"])
    lengths = stage_lengths(config.fit, frames)
    for name, stage in config.fit.stages.items():
        per_window = lengths[name] / stage.steps
        stage.steps = max(1, round(min(STEPS, lengths[name]) / per_window))
    body = load_body()
    prior = run.prior_for(config.fit, config.prior.path)
    clock = StageClock()
    observation = walk_to_and_fro(frames)
    began = time.perf_counter()
    with TemporaryDirectory() as folder, clock:
        run.fit_sequence(
            observation,
            body,
            prior,
            config.fit,
            config.guidance,
            config.logging,
            0,
            device,
            Path(folder),
            show_progress=False,
        )
    steps = clock.per_step()
    start = clock.first - began
    fit = start + clock.between + sum(lengths[name] * milliseconds / 1000 for name, milliseconds in steps.items())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"frames": frames, "start": start + clock.between, "steps": steps, "fit": fit, "memory_gb": memory}


def walk_to_and_fro(frames: int) -> Observation:
    """A walk seen by a moving camera, forwards and backwards in turn: continuous, and as long as asked."""
    body = load_body()
    walk = simulate_observation(
        body, *synthetic_walk(body, num_frames=WALK_FRAMES, fps=FPS, seed=0), fps=FPS, camera="follow", seed=0
    )
    there_and_back = np.r_[0:WALK_FRAMES, WALK_FRAMES - 2 : 0 : -1]
    order = np.resize(there_and_back, frames)
    per_frame = [name for name, field in FIELDS.items() if field.shape[:1] == ("T",)]
    values = {name: getattr(walk, name) for name in per_frame if not name.startswith("truth")}
    truth = {field.name: None for field in fields(Observation) if field.name.startswith("truth")}
    return replace(walk, **{name: value[order] for name, value in values.items()}, **truth)


class StageClock:
    """Times the steps of every stage of a fit, and what lies between the stages.

    A GPU is not waited for: over many steps its queue is as fast as itself.
    """

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = {}
        self.first = self.between = self.last = 0.0

    def __enter__(self) -> "StageClock":
        self.plain = SequenceFit.training_step
        clock = self

        def timed(fit: SequenceFit, batch: Any, batch_idx: int) -> Any:
            now = time.perf_counter()
            if not clock.first:
                clock.first = now
            elif fit.stage in clock.steps:
                clock.steps[fit.stage].append(now - clock.last)
            else:
                clock.between += now - clock.last
            clock.steps.setdefault(fit.stage, [])
            clock.last = now
            return clock.plain(fit, batch, batch_idx)

        SequenceFit.training_step = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        SequenceFit.training_step = self.plain  # type: ignore[method-assign]

    def per_step(self) -> dict[str, float]:
        """Milliseconds."""
        return {stage: 1000 * _typical(seconds) for stage, seconds in self.steps.items()}


def _typical(seconds: list[float]) -> float:
    """Median over turns of six steps, in which every update and every question to the prior has its share."""
    turns = [sum(seconds[at : at + 6]) / 6 for at in range(0, len(seconds) - 5, 6)]
    return median(turns) if turns else median(seconds)


if __name__ == "__main__":
    pl.seed_everything(0, verbose=False)
    main()
