"""`diffopt trial`: one trial of a sweep, which is a setting's mean over clips and seeds; what `wandb agent` runs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from diffopt.commands.evaluate import make_tasks
from diffopt.config import Config, EvaluationConfig, load_evaluation
from diffopt.errors import DiffoptError
from diffopt.evaluation.clip import SECONDS, Clip, score_clip
from diffopt.evaluation.options import Row, Table
from diffopt.evaluation.parallel import Record, run_tasks
from diffopt.evaluation.sequences import find_sequences
from diffopt.evaluation.table import fill
from diffopt.files.atomic import partial_file
from diffopt.tracking import Run, folder_of_its_own, refuse_without_account

SEEDS = 3
"""Fits of each clip, unless `seeds=` says otherwise."""


def trial(overrides: Sequence[str], console: Console) -> Path:
    """`diffopt trial`: fit clips with several seeds and report the means, to W&B as one run.

    Args:
        overrides: `source=` (an observation with truth, or a folder of them), `out=`, `seeds=` and the trial's values.
        console: where to say what was found.

    Returns:
        The trial's folder; under `wandb agent` its own one inside `out`. What is done there is not repeated.

    Raises:
        DiffoptError: the settings must be mended first, or a fit failed.
    """
    config = load_trial(overrides)
    refuse_without_account(config.logging.wandb)
    folder = folder_of_its_own(Path(config.out or "out/trial"))
    tasks = trial_tasks("trial", config, folder)
    with _reported(config, folder) as report:
        records = run_tasks(
            score_clip,
            tasks,
            folder / "records",
            config.parallel,
            config.device,
            config.threads,
            on_record=lambda record: console.print(f"  {record.key}: {escape(record.error or 'done')}", soft_wrap=True),
        )
        metrics = trial_means("trial", records)
        report(metrics)
    with partial_file(folder / "metrics.json") as partial:
        partial.write_text(json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for name in ("g_mpjpe_mm", SECONDS):
        console.print(f"  {name} {metrics[name]:.4g}, mean of {len(tasks)} fits")
    return folder


@contextmanager
def _reported(config: EvaluationConfig, folder: Path) -> Iterator[Callable[[dict[str, float]], None]]:
    """A run of W&B, finished as what is done within it ends; it takes the means."""
    if config.logging.wandb == "disabled":
        yield lambda metrics: None
        return
    of_fits = {field.name for field in fields(Config)} | {"seeds"}
    settings = {name: value for name, value in asdict(config).items() if name in of_fits}
    options, kept = config.logging, folder / "wandb-id"
    run = Run(folder, options.wandb, options.project, Path(config.source).stem, kept, settings, options.machine)
    _ = run.experiment  # begun, so that a trial that fails has one too
    try:
        yield run.log_metrics
    except BaseException:
        run.finalize("failed")
        raise
    run.finalize("success")


def load_trial(overrides: Sequence[str]) -> EvaluationConfig:
    """The settings of a trial.

    Raises:
        DiffoptError: as `load_evaluation`; or only one seed, or nothing to fit.
    """
    config = load_evaluation(None, [f"seeds={SEEDS}", *overrides])
    if config.seeds < 2:
        raise DiffoptError(
            f"Field 'seeds' is {config.seeds}; expected 2 or more: with one seed a sweep finds the luckiest trial, not "
            "the best one."
        )
    if not config.source:
        raise DiffoptError("Nothing to fit: give an observation with truth or a folder of them, `source=walk.npz`.")
    return config


def trial_tasks(name: str, config: EvaluationConfig, folder: Path) -> dict[str, Clip]:
    """A trial's fits: one for each observation and seed."""
    source = Path(config.source)
    sequences = {source.stem: source} if source.is_file() else find_sequences(source, "observations")
    only = replace(config, dataset=config.source, protocol="observations", rows={name: Row(kind="fit")})
    return make_tasks(only, sequences, folder)


def trial_means(name: str, records: Mapping[str, Record]) -> dict[str, float]:
    """Every metric's mean over clips and seeds; without those that some clip has no value of.

    Raises:
        DiffoptError: a fit failed; a mean over fewer than the other trials have would be no comparison.
    """
    own = [record for key, record in records.items() if key.startswith(f"{name}-")]
    failed = [str(record.error) for record in own if not record.done]
    if failed:
        raise DiffoptError(f"{len(failed)} of {len(own)} fits failed; the first one: {failed[0]}")
    scores: list[dict[str, Any]] = [record.result for record in own if record.result is not None]
    common = [metric for metric in scores[0]["metrics"] if all(one["metrics"][metric][0] is not None for one in scores)]
    table = fill(name, Table(columns=common), scores, [name])
    assert table is not None
    (line,) = table.lines
    return {metric: value for metric, value in line.values.items() if value is not None}
