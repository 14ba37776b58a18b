"""What `diffopt evaluate` does: sequences and files -> tasks -> scores -> tables."""

import glob
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from diffopt.config import EvaluationConfig
from diffopt.errors import DiffoptError
from diffopt.evaluation.chart import draw
from diffopt.evaluation.clip import Clip, Recipe, score_clip
from diffopt.evaluation.options import Row
from diffopt.evaluation.parallel import Record, run_tasks
from diffopt.evaluation.sequences import Sequence, find_sequences, read_sequence
from diffopt.evaluation.table import fill, markdown, write

KINDS = ("fit", "initial", "given")
PROTOCOLS = ("emdb", "observations")


def evaluate(config: EvaluationConfig, console: Console) -> list[Path]:
    """`diffopt evaluate`: score systems on a dataset and print the tables; what was scored before is not repeated.

    Args:
        config: what, on what, how.
        console: where to say what was found.

    Returns:
        The files written.

    Raises:
        DiffoptError: nothing can be scored, and why. Single failures are reported and do not stop the others.
    """
    _check(config)
    folder = Path(config.out or f"out/{config.protocol}_{Path(config.dataset).name}")
    found = find_sequences(Path(config.dataset), config.protocol)
    chosen = _choose(config, found)
    for name, lacking in _lacking(config, found).items():
        console.print(
            f"[yellow]missing[/] in {escape(config.dataset)}, and so in {name}: {', '.join(lacking)}", soft_wrap=True
        )
    tasks = make_tasks(config, chosen, folder)
    if not tasks:
        patterns = "; ".join(f"{name}: {', '.join(row.files or config.front_end)}" for name, row in config.rows.items())
        raise DiffoptError(
            f"files={config.files or config.dataset}: no file of any system for {', '.join(chosen)}; expected "
            f"{patterns}."
        )
    console.print(f"{len(chosen)} sequences, {len(tasks)} clips to score ({config.parallel.engine}) in {folder}")
    done = 0

    def report(record: Record) -> None:
        nonlocal done
        done += 1
        told = f"{record.seconds:.0f} s" if record.done else f"[red]failed[/]: {escape(str(record.error))}"
        console.print(f"  {done}/{len(tasks)} {record.key}: {told}", soft_wrap=True)

    records = run_tasks(
        score_clip, tasks, folder / "records", config.parallel, config.device, config.threads, on_record=report
    )
    scores = [record.result for record in records.values() if record.result is not None]
    failures = {key: str(record.error) for key, record in records.items() if not record.done}
    if not scores:
        raise DiffoptError(f"All {len(tasks)} clips failed; the first one: {next(iter(failures.values()))}")
    filled = {name: fill(name, table, scores, list(config.rows)) for name, table in config.tables.items()}
    tables = [table for table in filled.values() if table is not None]
    written = write(folder, tables, scores, failures)
    written += [draw(table, folder / f"{table.name}.png") for table in tables]
    console.print()
    console.print("\n".join(markdown(table) for table in tables), soft_wrap=True, markup=False)
    for name, table in filled.items():
        if table is None:
            console.print(f"{name} is left out: none of its sequences has a score.", soft_wrap=True)
    for key, error in failures.items():
        console.print(f"[red]failed[/] {key}: {escape(error)}", soft_wrap=True)
    for path in written:
        console.print(f"  {escape(str(path))}", soft_wrap=True)
    return written


def make_tasks(config: EvaluationConfig, sequences: Mapping[str, Path], folder: Path) -> dict[str, Clip]:
    """Every system on every clip it has files of; fits once for each seed.

    Args:
        config: rows, segments, recipe.
        sequences: files with the truth, by name.
        folder: of the evaluation.
    """
    tasks = {}
    for name, path in sequences.items():
        files = {row: _files(one, name, path, config) for row, one in config.rows.items()}
        if not any(files.values()):
            continue
        truth = read_sequence(path, config.body.model, config.truth_models, config.body.keypoint_regressor)
        for row, one in config.rows.items():
            if not files[row]:
                continue
            for start, stop in _segments(truth, config):
                for seed in range(config.seed, config.seed + (config.seeds if one.kind == "fit" else 1)):
                    key = f"{row}-{name}-{start:05d}-{stop:05d}" + (f"-seed{seed}" if one.kind == "fit" else "")
                    tasks[key] = Clip(
                        row=row,
                        kind=one.kind,
                        sequence=name,
                        truth=str(path),
                        files=tuple(str(file) for file in files[row]),
                        changed_ns=tuple(file.stat().st_mtime_ns for file in [path, *files[row]]),
                        start=start,
                        stop=stop,
                        body_model=config.body.model,
                        truth_models=config.truth_models,
                        keypoint_regressor=config.body.keypoint_regressor,
                        vertices=config.vertices,
                        threads=config.threads,
                        recipe=None if one.kind == "given" else _recipe(config, row, seed),
                        work=str(folder / "work" / key),
                    )
    return tasks


def _recipe(config: EvaluationConfig, row: str, seed: int) -> Recipe:
    told = config.recipes.get(row, config)
    fit = told.fit
    if config.max_steps is not None:
        stages = {name: replace(stage, steps=min(stage.steps, config.max_steps)) for name, stage in fit.stages.items()}
        fit = replace(fit, stages=stages)
    return Recipe(fit, told.guidance, told.prior.path, seed, config.device, config.logging.checkpoint_every)


def _segments(truth: Sequence, config: EvaluationConfig) -> list[tuple[int, int]]:
    """Frames [start, stop); a sequence shorter than a segment is taken whole, segments without truth are left out."""
    length = config.segment_frames or len(truth)
    if len(truth) < length:
        return [(0, len(truth))]
    starts = range(0, len(truth) - length + 1, length)
    whole = [(start, start + length) for start in starts if int(truth.valid[start : start + length].sum()) >= 4]
    return whole[: config.max_segments]


def _files(row: Row, sequence: str, truth: Path, config: EvaluationConfig) -> list[Path]:
    """A system's files of a sequence, each once, in the order of the patterns."""
    if config.protocol == "observations" and not row.files:
        return [truth]
    subject, _, take = sequence.partition("_")
    names = {key: glob.escape(value) for key, value in (("sequence", sequence), ("subject", subject), ("take", take))}
    base = Path(config.files or config.dataset)
    matched: dict[Path, None] = {}
    for pattern in row.files or config.front_end:
        try:
            filled = pattern.format(**names)
        except (KeyError, IndexError, ValueError) as error:
            raise DiffoptError(
                f"Pattern '{pattern}': cannot be filled in ({error}); expected {{sequence}}, {{subject}} or {{take}}."
            ) from error
        matched |= dict.fromkeys(sorted(path for path in base.glob(filled) if path != truth))
    return list(matched)


def _choose(config: EvaluationConfig, found: Mapping[str, Path]) -> dict[str, Path]:
    """The sequences asked for, or those that the tables name, or all where a table names none."""
    if config.sequences:
        unknown = [name for name in config.sequences if name not in found]
        if unknown:
            raise DiffoptError(
                f"sequences: {', '.join(unknown)} not found in {config.dataset}; there are {', '.join(found)}."
            )
        return {name: found[name] for name in config.sequences}
    named = [name for table in config.tables.values() for name in table.sequences]
    if not named or not all(table.sequences for table in config.tables.values()):
        return dict(found)
    chosen = {name: path for name, path in found.items() if name in named}
    if not chosen:
        raise DiffoptError(
            f"{config.dataset}: none of the sequences of the tables is there ({', '.join(dict.fromkeys(named))}); "
            f"found {', '.join(found)}; name some with `sequences=[...]` and empty `tables.NAME.sequences`."
        )
    return chosen


def _lacking(config: EvaluationConfig, found: Mapping[str, Path]) -> dict[str, list[str]]:
    """What tables name and the dataset lacks, by table; nothing where the user asked for certain sequences."""
    tables = {} if config.sequences else config.tables
    lacking = {name: [one for one in table.sequences if one not in found] for name, table in tables.items()}
    return {name: sequences for name, sequences in lacking.items() if sequences}


def _check(config: EvaluationConfig) -> None:
    if not config.dataset:
        raise DiffoptError("Nothing to evaluate: give a folder, e.g. `dataset=EMDB protocol=emdb`.")
    if config.source:
        raise DiffoptError(f"source={config.source}: an evaluation takes a folder; give it as `dataset=`.")
    if config.protocol not in PROTOCOLS:
        raise DiffoptError(f"Field 'protocol' is '{config.protocol}'; choose one of {', '.join(PROTOCOLS)}.")
    for name, row in config.rows.items():
        if row.kind not in KINDS:
            raise DiffoptError(f"Field 'rows.{name}.kind' is '{row.kind}'; choose one of {', '.join(KINDS)}.")
        if config.protocol == "emdb" and not (row.files or config.front_end):
            raise DiffoptError(
                f"Fields 'rows.{name}.files' and 'front_end' are empty; expected patterns such as '{{sequence}}/*.pkl' "
                "in one of them."
            )
        if row.recipe and row.kind == "given":
            raise DiffoptError(f"Field 'rows.{name}.recipe': kind 'given' fits nothing; choose kind 'fit'.")
    for name, table in config.tables.items():
        unknown = [row for row in [*table.rows, table.against] if row and row not in config.rows]
        if unknown:
            raise DiffoptError(
                f"Table '{name}' names {', '.join(unknown)}; expected some of its rows: {', '.join(config.rows)}."
            )
        if table.mean_over not in ("frames", "sequences"):
            raise DiffoptError(
                f"Field 'tables.{name}.mean_over' is '{table.mean_over}'; choose one of frames, sequences."
            )
    for name in ("segment_frames", "max_segments", "max_steps", "seeds"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise DiffoptError(f"Field '{name}' is {value}; expected 1 or more.")
