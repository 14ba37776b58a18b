"""An evaluation in EMDB's layout, end to end in every engine: the same table, and what each took.

    python benchmarks/parallel.py MOCAP [--out FOLDER] [--engines serial,processes,ray] [--workers 2] [--steps 400]
                                        [--sequences 4]

Captured clips are filmed by virtual cameras and written as EMDB writes its truth, and as 4DHumans, ViTPose and
DROID-SLAM write what they see. `diffopt evaluate --config configs/emdb_short.yaml` then scores the initial composition
and a fit of every segment. The numbers must not depend on the engine; the times do, and on what else the machine does:
on one that is busy, "in flight" (seconds of all tasks by seconds in all) still says how many ran at a time. Processes
and clusters take a while to start ("start": seconds until the first task began), which says nothing about long
evaluations; so fits are as long as the shipped recipe's, and the last but one column leaves the start out.
"""

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from emdb_layout import write_dataset
from rich.console import Console

from diffopt.commands.evaluate import evaluate
from diffopt.config import load_config, load_evaluation
from diffopt.evaluation.parallel import read_record

NAMES = ("P0_09_outdoor_walk", "P1_16_outdoor_warmup", "P5_41_indoor_jogging_workout", "P7_58_outdoor_parcours")
FRAMES = 100


def numbers(folder: Path) -> dict[str, dict]:
    """Every score of an evaluation but its times."""
    records = [read_record(path) for path in sorted((folder / "records").glob("*.json"))]
    return {
        record.key: {name: value for name, value in record.result["metrics"].items() if not name.startswith("seconds")}
        for record in records
        if record is not None and record.result is not None
    }


@dataclass(frozen=True)
class Times:
    """What an evaluation took, seconds."""

    total: float
    start: float
    """Until the first task began."""
    tasks: float
    """Of all tasks, each by its own clock."""

    @property
    def running(self) -> float:
        return self.total - self.start


def times(folder: Path, began: float, ended: float) -> Times:
    """From the records, each of which was written when its task was done."""
    written = {path: read_record(path) for path in (folder / "records").glob("*.json")}
    records = {path: record for path, record in written.items() if record is not None}
    first = min(path.stat().st_mtime - record.seconds for path, record in records.items())
    return Times(ended - began, max(0.0, first - began), sum(record.seconds for record in records.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", type=Path, help="a folder of motions that holds the clips")
    parser.add_argument("--out", type=Path, default=Path("out/benchmark_parallel"))
    parser.add_argument("--engines", default="serial,processes,ray")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=400, help="of each of a fit's stages; few time the start instead")
    parser.add_argument("--sequences", type=int, default=len(NAMES), help="how many of the clips")
    options = parser.parse_args()
    names = NAMES[: options.sequences]
    write_dataset(options.out, names, FRAMES, [options.mocap])
    steps = [f"fit.stages.{name}.steps={options.steps}" for name in load_config().fit.stages]
    took, found = {}, {}
    for engine in options.engines.split(","):
        folder = options.out / engine
        # What an earlier run left would be taken from there, in no time.
        shutil.rmtree(folder / "records", ignore_errors=True)
        config = load_evaluation(
            "emdb_short",
            [
                f"dataset={options.out / 'EMDB'}", f"files={options.out / 'files'}", f"out={folder}", "device=cpu",
                f"sequences=[{','.join(names)}]", f"parallel.engine={engine}", f"parallel.workers={options.workers}",
                *steps,
            ],
        )  # fmt: skip
        began = time.time()  # the clock of the files, which say when a task was done
        evaluate(config, Console())
        took[engine] = times(folder, began, time.time())
        found[engine] = numbers(folder)
    first, *others = found
    print(f"{len(found[first])} of {2 * len(names)} tasks scored, {options.steps} steps a stage.\n")
    print(f"| engine | seconds | start | in flight | times as fast as {first} | without the start | same numbers |")
    print("|---|---|---|---|---|---|---|")
    for engine, one in took.items():
        same = "yes" if found[engine] == found[first] else "NO"
        faster = f"{took[first].total / one.total:.2f} | {took[first].running / one.running:.2f}"
        print(f"| {engine} | {one.total:.0f} | {one.start:.0f} | {one.tasks / one.total:.2f} | {faster} | {same} |")
    if any(found[engine] != found[first] for engine in others):
        raise SystemExit("The engines disagree.")
    if len(found[first]) < 2 * len(names):
        raise SystemExit("Some tasks failed; their errors stand in the tables above.")


if __name__ == "__main__":
    main()
