"""An evaluation in EMDB's layout, end to end in every engine: the same table, and what each took.

    python benchmarks/parallel.py MOCAP [--out FOLDER] [--engines serial,processes,ray] [--workers 2] [--steps 60]

Captured clips are filmed by virtual cameras and written as EMDB writes its truth, and as 4DHumans, ViTPose and
DROID-SLAM write what they see. `diffopt evaluate --config configs/emdb_short.yaml` then scores the initial composition
and a short fit of every segment. The numbers must not depend on the engine; the times do, and on what else the machine
does: on one that is busy, "in flight" (seconds of all tasks by seconds in all) still says how many ran at a time.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch
from emdb_layout import write_front_end, write_truth
from rich.console import Console

from diffopt.body.model import load_body
from diffopt.config import load_config, load_evaluation
from diffopt.data.performance import perform
from diffopt.data.synthetic import simulate_observation
from diffopt.evaluate import evaluate
from diffopt.evaluation.parallel import read_record
from diffopt.prior.mocap import read_motions

CLIPS = {
    "P0_09_outdoor_walk": ("train_walking_33", 0, "follow"),
    "P1_16_outdoor_warmup": ("02_06", 60, "orbit"),
    "P3_31_outdoor_workout": ("02_05", 100, "follow"),
    "P7_58_outdoor_parcours": ("02_04", 0, "dolly"),
}
"""EMDB's name to use; the clip, its first frame and the camera."""
FRAMES = 100


def write_dataset(mocap: Path, folder: Path) -> None:
    """The truth to `folder/EMDB`, what the tools saw to `folder/files`."""
    body = load_body()
    clips = {clip.name: clip for clip in read_motions(mocap)}
    for seed, (name, (clip_name, start, camera)) in enumerate(CLIPS.items()):
        part = slice(start, start + FRAMES)
        clip = replace(clips[clip_name], rotations=clips[clip_name].rotations[part], root=clips[clip_name].root[part])
        performance = perform(clip, body, torch.zeros(10))
        observation = simulate_observation(
            body, *performance, fps=clip.fps, camera=camera, seed=seed, name=name, keypoint_set="coco17"
        )
        write_truth(folder / "EMDB", name, observation, body)
        write_front_end(folder / "files", name, observation, body)


def numbers(folder: Path) -> dict[str, dict]:
    """Every score of an evaluation but its times."""
    records = [read_record(path) for path in sorted((folder / "records").glob("*.json"))]
    return {
        record.key: {name: value for name, value in record.result["metrics"].items() if not name.startswith("seconds")}
        for record in records
        if record is not None and record.result is not None
    }


def task_seconds(folder: Path) -> float:
    """What all tasks of an evaluation took, each by its own clock."""
    records = [read_record(path) for path in (folder / "records").glob("*.json")]
    return sum(record.seconds for record in records if record is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", type=Path, help="a folder of motions that holds the clips")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark_parallel"))
    parser.add_argument("--engines", default="serial,processes,ray")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=60, help="of every stage: a short recipe")
    options = parser.parse_args()
    write_dataset(options.mocap, options.out)
    steps = [f"fit.stages.{name}.steps={options.steps}" for name in load_config().fit.stages]
    seconds, found = {}, {}
    for engine in options.engines.split(","):
        config = load_evaluation(
            "emdb_short",
            [
                f"dataset={options.out / 'EMDB'}", f"files={options.out / 'files'}", f"out={options.out / engine}",
                f"parallel.engine={engine}", f"parallel.workers={options.workers}", "device=cpu", *steps,
            ],
        )  # fmt: skip
        started = time.perf_counter()
        evaluate(config, Console())
        seconds[engine] = time.perf_counter() - started
        found[engine] = numbers(options.out / engine)
    first, *others = found
    print(f"| engine | seconds | times as fast as {first} | in flight | same numbers |\n|---|---|---|---|---|")
    for engine, took in seconds.items():
        same = "yes" if found[engine] == found[first] else "NO"
        flight = task_seconds(options.out / engine) / took
        print(f"| {engine} | {took:.0f} | {seconds[first] / took:.2f} | {flight:.2f} | {same} |")
    if any(found[engine] != found[first] for engine in others):
        raise SystemExit("The engines disagree.")


if __name__ == "__main__":
    main()
