"""What a GPU makes of diffopt: does everything run there, and how fast beside one CPU thread.

    python benchmarks/gpu.py --out out/gpu

Fits of a simulated walk, so that no data are needed; the prior's training on clips of the same walk. Prints tables.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from speed import StageClock
from torch.utils.data import DataLoader

from diffopt.body.model import load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.commands.fit import fit
from diffopt.config import load_config, load_prior_training, shipped
from diffopt.device import on_device
from diffopt.mocap.clip import MotionClip
from diffopt.motion.motion import Motion
from diffopt.prior.motion_prior import MotionPrior, PriorDescription
from diffopt.result.result import Result
from diffopt.simulation.synthetic import simulate_observation, synthetic_walk
from diffopt.training.motion_prior import PriorFit, learn_statistics
from diffopt.training.windows import Batch, MotionWindows

FRAMES, FPS = 100, 30.0
TRAINING_STEPS = 20
LONGEST = 100
"""Steps of a stage, but for the default recipe: enough to see that it runs, and how fast."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for what is fitted; must not exist")
    parser.add_argument("--short", type=int, help="optimizer steps of every stage, instead of the recipe's")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    body = load_body()
    motion = synthetic_walk(body, num_frames=FRAMES, fps=FPS, seed=0)
    walk = simulate_observation(body, *motion, fps=FPS, camera="follow", seed=0).save(options.out / "walk" / "walk.npz")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for index in range(torch.cuda.device_count()):
        print(f"GPU {index}: {torch.cuda.get_device_name(index)}, PyTorch {torch.__version__}")
    print("\n| recipe | device | s per 100 frames | ms a step, by stage | G-MPJPE mm |\n|---|---|---|---|---|")
    for recipe in ("default", "paper", "ablations/learnable_tensors", "ablations/vposer"):
        for device in devices:
            print(_fit_row(recipe, device, walk, options), flush=True)
    print("\n| command | result | s |\n|---|---|---|")
    short = [f"fit.stages.{name}.steps=5" for name in load_config().fit.stages]
    evaluation = [f"dataset={walk.parent}", "protocol=observations", *short]
    for engine in ("serial", "processes"):
        arguments = [*evaluation, f"parallel.engine={engine}", f"out={options.out / engine}"]
        print(_command_row(f"evaluate, {engine}", "evaluate", *arguments), flush=True)
    print(_command_row("sample", "sample", "count=1", f"out={options.out / 'sample'}"), flush=True)
    print("\n| training step of the prior | windows a step | ms |\n|---|---|---|")
    for device in devices:
        for batch_size in (24, 256):
            print(_training_row(device, batch_size, Motion.from_axis_angle(*motion[:3])), flush=True)


def _fit_row(recipe: str, device: str, walk: Path, options: argparse.Namespace) -> str:
    out = options.out / f"{recipe.replace('/', '_')}_{device}"
    overrides = [f"source={walk}", f"out={out}", f"device={device}", "pictures=false", "logging.wandb=disabled"]
    config = load_config([shipped(recipe)] if recipe != "default" else None, overrides)
    for stage in config.fit.stages.values():
        stage.steps = min(stage.steps, options.short or (stage.steps if recipe == "default" else LONGEST))
    clock = StageClock()
    with clock:
        fit(config, Console(quiet=True))
    result = Result.load(out)
    assert result.metrics is not None
    steps = ", ".join(f"{stage} {milliseconds:.1f}" for stage, milliseconds in clock.per_step().items())
    seconds = 100 * result.run["seconds"]["fit"] / FRAMES
    return f"| {recipe} | {device} | {seconds:.1f} | {steps} | {result.metrics['g_mpjpe_mm']:.1f} |"


def _command_row(name: str, *arguments: str) -> str:
    started = time.perf_counter()
    ran = subprocess.run([sys.executable, "-m", "diffopt.cli", *arguments], capture_output=True, text=True)
    told = "ok" if ran.returncode == 0 else f"FAILED: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}"
    return f"| {name} | {told} | {time.perf_counter() - started:.1f} |"


def _training_row(device: str, batch_size: int, motion: Motion) -> str:
    """A step with its windows ready: what the network costs."""
    training = load_prior_training()
    training.windows.batch_size = batch_size
    body = load_body()
    skeleton = body.skeleton(torch.zeros(10))[:BODY_JOINTS]
    offsets = torch.cat([torch.zeros(1, 3), skeleton[1:]])
    clip = MotionClip(
        "walk", "nobody", "locomotion", FPS, motion.body_rotations(), motion.transl + skeleton[0], offsets
    )
    windows = MotionWindows([clip], training.windows, skeleton, None, seed=0)
    batches = iter(DataLoader(windows, batch_size=None))
    prior = MotionPrior(PriorDescription(training.network, training.num_steps, training.windows.longest))
    learn_statistics(prior, [next(batches) for _ in range(2)])
    fit = on_device(PriorFit(training, prior), torch.device(device))
    optimizer = torch.optim.AdamW(fit.prior.parameters(), lr=1e-4)
    batch = Batch(*(part.to(device) for part in next(batches)))
    for step in range(TRAINING_STEPS + 3):
        if step == 3:
            _synchronize(device)
            started = time.perf_counter()
        optimizer.zero_grad()
        generator = torch.Generator(device).manual_seed(step)
        fit.losses(fit.prior, batch, fit.draw_levels(batch_size, generator), generator)["loss"].backward()
        optimizer.step()
    _synchronize(device)
    return f"| {device} | {batch_size} | {1000 * (time.perf_counter() - started) / TRAINING_STEPS:.1f} |"


def _synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
