"""Independent tasks one after the other, in processes of this machine, or on a Ray cluster: the same results each way.

Every finished task is one JSON file, written whole or not at all. So a run that was interrupted goes on where it was,
and a task that is done is never repeated. A task that fails, or whose worker dies under it, is tried again; if it still
fails it is kept with its error and the others go on.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from diffopt.errors import DiffoptError
from diffopt.evaluation.engines import Attempts, in_processes, in_this_process, on_ray
from diffopt.files.atomic import partial_file

ENGINES = ("serial", "processes", "ray")


@dataclass
class ParallelOptions:
    """How tasks are spread."""

    engine: str = "serial"
    """`serial`, `processes` (on this machine) or `ray` (a cluster)."""
    workers: int = 0
    """Tasks at a time; 0: one per CUDA device, or else one per CPU core. A Ray cluster knows its own."""
    retries: int = 1
    """How often a task is tried again after it failed or its worker died."""
    ray_address: str = ""
    """Address of a Ray cluster, `auto` for the one this machine belongs to; empty: one of its own on this machine."""


@dataclass(frozen=True)
class Record:
    """What became of one task."""

    key: str
    digest: str
    """Of all that the task was told: a record of other settings does not count."""
    attempts: int
    seconds: float
    """Of the last attempt."""
    result: dict[str, Any] | None
    error: str | None = None
    trace: str | None = None

    @property
    def done(self) -> bool:
        return self.error is None


def run_tasks(
    work: Callable[[Any], Mapping[str, Any]],
    tasks: Mapping[str, Any],
    folder: Path,
    options: ParallelOptions,
    device: str = "auto",
    threads: int = 1,
    on_record: Callable[[Record], None] = lambda record: None,
) -> dict[str, Record]:
    """Run what is not done yet.

    Args:
        work: from one task to its result, which must be fit for JSON; a function at the top level of a module.
        tasks: by names fit for files; what a task is told must be picklable and have a `repr` that says all of it.
        folder: one JSON file per task.
        options: where to run them.
        device: `cpu` leaves the CUDA devices alone.
        threads: CPU threads of each worker.
        on_record: called with each record as it comes in, first with those that were there already.

    Returns:
        Records of all tasks, in the order of the tasks.
    """
    _check(tasks, options)
    folder.mkdir(parents=True, exist_ok=True)
    digests = {key: _digest(work, task) for key, task in tasks.items()}
    records: dict[str, Record] = {}
    for key in tasks:
        found = read_record(folder / f"{key}.json")
        if found is not None and found.done and found.digest == digests[key]:
            records[key] = found
            on_record(found)
    attempts = Attempts({key: task for key, task in tasks.items() if key not in records}, options.retries)
    for outcome in _engine(work, attempts, options, device, threads):
        record = Record(
            outcome.key,
            digests[outcome.key],
            attempts.made[outcome.key],
            outcome.seconds,
            None if outcome.result is None else dict(outcome.result),
            outcome.error,
            outcome.trace,
        )
        with partial_file(folder / f"{record.key}.json") as partial:
            partial.write_text(json.dumps(asdict(record), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        records[record.key] = record
        on_record(record)
    return {key: records[key] for key in tasks}


def read_record(path: Path) -> Record | None:
    """A task's record, or None if there is none that can be read."""
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def cuda_devices(device: str) -> list[str]:
    """The CUDA devices that may be used, as `CUDA_VISIBLE_DEVICES` names them."""
    if device == "cpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = named.split(",") if named else [str(index) for index in range(torch.cuda.device_count())]
    return names[: torch.cuda.device_count()]


def _engine(
    work: Callable[[Any], Mapping[str, Any]], attempts: Attempts, options: ParallelOptions, device: str, threads: int
) -> Iterator[Any]:
    if not attempts.waiting:
        return iter(())
    if options.engine == "serial":
        return in_this_process(work, attempts)
    devices = cuda_devices(device)
    count = options.workers or len(devices) or max(1, (os.cpu_count() or 1) // threads)
    if options.engine == "ray":
        return on_ray(work, attempts, count, threads, device, options.ray_address)
    places = [{"CUDA_VISIBLE_DEVICES": devices[index % len(devices)]} if devices else {} for index in range(count)]
    return in_processes(work, attempts, places, threads)


def _digest(work: Callable[[Any], Any], task: Any) -> str:
    return hashlib.sha256(f"{work.__module__}.{work.__qualname__} {task!r}".encode()).hexdigest()[:16]


def _check(tasks: Mapping[str, Any], options: ParallelOptions) -> None:
    if options.engine not in ENGINES:
        raise DiffoptError(f"Field 'parallel.engine' is '{options.engine}'; choose one of {', '.join(ENGINES)}.")
    for name in ("workers", "retries"):
        if getattr(options, name) < 0:
            raise DiffoptError(f"Field 'parallel.{name}' is {getattr(options, name)}; expected 0 or more.")
    for key in tasks:
        if not re.fullmatch(r"[\w.+-]+", key):
            raise ValueError(f"Task '{key}': its name is that of its file; expected letters, digits and _ . + -")
