"""What `diffopt sweep` does: the trials of a sweep file on this machine, without an account; best one first."""

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from diffopt.commands.trial import load_trial, trial_means, trial_tasks
from diffopt.errors import DiffoptError
from diffopt.evaluation.clip import SECONDS, score_clip
from diffopt.evaluation.parallel import Record, run_tasks
from diffopt.evaluation.trials import read_sweep, trials
from diffopt.files.atomic import partial_file


@dataclass(frozen=True)
class Trial:
    """One trial with its score; None where it failed."""

    name: str
    values: dict[str, Any]
    metric: float | None
    seconds: float | None
    failed: int
    """Clips of it that failed."""


def sweep(path: Path, count: int | None, overrides: Sequence[str], console: Console) -> list[Path]:
    """`diffopt sweep`: run trials, those that are done are not repeated.

    Args:
        path: a sweep file, as `wandb sweep` takes it.
        count: how many trials; None: the file's `run_cap`, or the whole grid.
        overrides: `source=` (an observation with truth, or a folder of them), `out=`, `parallel.engine=` and any
            setting that holds for all trials.
        console: where to say what was found.

    Returns:
        The files written.

    Raises:
        DiffoptError: the file or the settings must be mended first, or every trial failed.
    """
    plan = read_sweep(path)
    count = count or plan.run_cap
    if count is None and plan.method != "grid":
        raise DiffoptError(f"{path}: draws without end; say how many trials, `--count 20`.")
    shared = [*plan.fixed, *overrides]
    config = load_trial(shared)
    folder = Path(config.out or f"out/sweep_{path.stem}")
    if plan.method == "bayes":
        console.print("method: bayes needs an account's server; the trials are drawn at random instead.")
    chosen = list(itertools.islice(trials(plan, config.seed), count))
    names = [f"trial-{index:03d}" for index in range(len(chosen))]
    tasks = {}
    for name, values in zip(names, chosen, strict=True):
        tasks |= trial_tasks(name, load_trial([*shared, *(f"{key}={value}" for key, value in values.items())]), folder)
    console.print(f"{len(chosen)} trials, {len(tasks)} fits ({config.parallel.engine}) in {folder}", soft_wrap=True)
    done = 0

    def report(record: Record) -> None:
        nonlocal done
        done += 1
        told = f"[red]failed[/]: {escape(str(record.error))}"
        if record.result is not None:
            told = f"{plan.metric} {record.result['metrics'].get(plan.metric, [None])[0]}, {record.seconds:.0f} s"
        console.print(f"  {done}/{len(tasks)} {record.key}: {told}", soft_wrap=True)

    records = run_tasks(
        score_clip, tasks, folder / "records", config.parallel, config.device, config.threads, on_record=report
    )
    found = [_trial(name, values, plan.metric, records) for name, values in zip(names, chosen, strict=True)]
    if all(trial.metric is None for trial in found):
        errors = [str(record.error) for record in records.values() if not record.done]
        known = ", ".join(next((one.result["metrics"] for one in records.values() if one.result), {}))
        told = f"the first one: {errors[0]}" if errors else f"none has the metric '{plan.metric}'; known are {known}."
        raise DiffoptError(f"{path}: no trial has a score; {told}")
    sign = 1 if plan.minimize else -1
    found.sort(key=lambda trial: float("inf") if trial.metric is None else sign * trial.metric)
    text = _markdown(plan.name, plan.metric, found, len(tasks) // len(chosen))
    console.print()
    console.print(text, markup=False, soft_wrap=True)
    return _write(folder, text, plan.metric, found)


def _trial(name: str, values: dict[str, Any], metric: str, records: Mapping[str, Record]) -> Trial:
    try:
        means = trial_means(name, records)
    except DiffoptError:
        failed = sum(not record.done for key, record in records.items() if key.startswith(f"{name}-"))
        return Trial(name, values, None, None, failed)
    return Trial(name, values, means.get(metric), means.get(SECONDS), 0)


def _rows(metric: str, found: Sequence[Trial]) -> list[list[str]]:
    rows = [["trial", metric, SECONDS, *found[0].values]]
    for trial in found:
        score = f"failed ({trial.failed})" if trial.metric is None else f"{trial.metric:.4g}"
        seconds = "" if trial.seconds is None else f"{trial.seconds:.4g}"
        rows.append([trial.name, score, seconds, *(_short(value) for value in trial.values.values())])
    return rows


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _markdown(name: str, metric: str, found: Sequence[Trial], fits: int) -> str:
    head, *lines = _rows(metric, found)
    table = [head, ["---"] * len(head), *lines]
    best = " ".join(f"{key}={value}" for key, value in found[0].values.items())
    return (
        f"## Sweep: {name}\n\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in table)
        + (f"\n\nEach trial is the mean of {fits} fits, over clips and seeds. Best: `{best}`\n")
    )


def _write(folder: Path, text: str, metric: str, found: Sequence[Trial]) -> list[Path]:
    lines = io.StringIO()
    head = [["trial", metric, SECONDS, *found[0].values]]
    body = [[trial.name, trial.metric, trial.seconds, *trial.values.values()] for trial in found]
    csv.writer(lines, lineterminator="\n").writerows(head + body)
    document = [vars(trial) for trial in found]
    written = {
        "sweep.md": text,
        "sweep.csv": lines.getvalue(),
        "sweep.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
    }
    for name, content in written.items():
        with partial_file(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
    return [folder / name for name in written]
