"""From the scores of clips to tables: means per system beside published figures, as Markdown, CSV and JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from diffopt.evaluation.options import Table
from diffopt.files.atomic import partial_file

Score = Mapping[str, Any]
"""What `evaluation.clip.score_clip` returns."""

UNITS = {"mm": "mm", "percent": "%", "deg": "°", "s2": "m/s²", "frames": "s", "scale": ""}
"""How the endings of the metrics' names are written; the jitter's is 10 m/s³."""


@dataclass(frozen=True)
class Line:
    """One system in one table."""

    system: str
    values: dict[str, float | None]
    """By column; None where the system was not measured."""
    spread: dict[str, float]
    """Standard deviation over seeds, where there are several."""
    clips: int = 0
    missing: tuple[str, ...] = ()
    """Sequences of the table that the system has no score of."""
    by_sequence: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """Sequence, metric, value; of the table's `by_sequence` metrics and the sequences that the system has."""
    source: str = ""
    """Of a published line; ours have none."""


@dataclass(frozen=True)
class Filled:
    """A table with its lines."""

    name: str
    title: str
    columns: tuple[str, ...]
    sequences: tuple[str, ...]
    lines: tuple[Line, ...]
    by_sequence: tuple[str, ...]
    """Metrics that are shown sequence by sequence."""
    against: str
    """The system from which the others' differences are shown."""
    notes: tuple[str, ...]


def fill(name: str, table: Table, scores: Sequence[Score], rows: Sequence[str]) -> Filled | None:
    """A table from the scores.

    Args:
        name: of the table.
        table: what it shows.
        scores: of all clips and systems.
        rows: the systems in their order.

    Returns:
        The table; None if no score belongs to it.
    """
    own = [one for one in scores if _belongs(one, table)]
    sequences = tuple(table.sequences or sorted({one["sequence"] for one in own}))
    if not own:
        return None
    lines = []
    for system in dict.fromkeys([*rows, *table.published]):
        of_system = [one for one in own if one["row"] == system]
        if of_system:
            lines.append(_line(system, of_system, table, sequences))
        if system in table.published:
            lines.append(_published_line(system, table))
    return Filled(
        name,
        table.title or name,
        tuple(table.columns),
        sequences,
        tuple(lines),
        tuple(table.by_sequence),
        table.against,
        tuple(_notes(own, lines)),
    )


def _belongs(score: Score, table: Table) -> bool:
    named = not table.sequences or score["sequence"] in table.sequences
    of_rows = not table.rows or score["row"] in table.rows
    return named and of_rows and (not table.split or table.split in score["splits"])


def _line(row: str, scores: list[Score], table: Table, sequences: tuple[str, ...]) -> Line:
    seeds = sorted({one["seed"] for one in scores}, key=lambda seed: -1 if seed is None else seed)
    values, spread = {}, {}
    for column in table.columns:
        means = [_mean([one for one in scores if one["seed"] == seed], column, table.mean_over) for seed in seeds]
        known = [mean for mean in means if mean is not None]
        values[column] = fmean(known) if known else None
        if len(known) > 1:
            spread[column] = pstdev(known)
    measured = {name: [one for one in scores if one["sequence"] == name] for name in sequences}
    return Line(
        row,
        values,
        spread,
        clips=len({(one["sequence"], one["start"]) for one in scores}),
        missing=tuple(name for name, own in measured.items() if not own),
        by_sequence={
            name: {metric: _mean(own, metric, "frames") for metric in table.by_sequence}
            for name, own in measured.items()
            if own
        },
    )


def _published_line(system: str, table: Table) -> Line:
    one = table.published[system]
    by_sequence: dict[str, dict[str, float | None]] = {
        name: {metric: values.get(metric) for metric in table.by_sequence} for name, values in one.by_sequence.items()
    }
    values = {column: one.values.get(column) for column in table.columns}
    return Line(system, values, {}, source=one.source, by_sequence=by_sequence)


def _mean(scores: Sequence[Score], metric: str, over: str) -> float | None:
    """Over all values alike, or over the means of the sequences."""
    if over == "sequences":
        sequences = dict.fromkeys(one["sequence"] for one in scores)
        means = [_mean([one for one in scores if one["sequence"] == name], metric, "frames") for name in sequences]
        known = [mean for mean in means if mean is not None]
        return fmean(known) if known else None
    total, count = 0.0, 0
    for one in scores:
        mean, number = one["metrics"].get(metric, (None, 0))
        if mean is not None:
            total, count = total + mean * number, count + number
    return total / count if count else None


def _notes(scores: list[Score], lines: list[Line]) -> list[str]:
    notes = []
    if any(one["body"] != "smpl" or one["truth_body"] != "smpl" for one in scores):
        notes.append(
            "Scored with the free body in SMPL's place, where all shapes are alike: not comparable with published "
            "figures to the millimetre. `body.model=` and `truth_models` take SMPL files."
        )
    with_true_camera = sorted({one["row"] for one in scores if one["true_camera_used"]})
    if with_true_camera:
        notes.append(f"No camera among the files, so the true one was given: {', '.join(with_true_camera)}.")
    for line in lines:
        if line.missing:
            notes.append(f"{line.system}: no score of {', '.join(line.missing)}; its means are over the others.")
    return notes


def heading(metric: str) -> str:
    """A metric's name as a column says it: `wa_mpjpe_100_mm` is WA-MPJPE-100 (mm)."""
    if metric == "seconds_per_100_frames":
        return "s per 100 frames"
    name, _, ending = metric.rpartition("_")
    if metric.endswith("_m_s2"):
        return f"{metric.removesuffix('_m_s2').replace('_', ' ')} (m/s²)"
    if ending not in UNITS or not name:
        return metric.replace("_", " ")
    words = name.replace("_", "-").upper() if "mpjpe" in name or "mpvpe" in name or len(name) < 6 else name
    return f"{words.replace('_', ' ')} ({UNITS[ending]})" if UNITS[ending] else words


def markdown(table: Filled) -> str:
    """The table for people: published lines in italics with their source."""
    rows = [["system", "clips", *(heading(column) for column in table.columns), "source"]]
    # Ours differ from our line of the name, published ones from the published one.
    references = {bool(line.source): line for line in table.lines if line.system == table.against}
    for line in table.lines:
        reference = references.get(bool(line.source), line)
        values = [
            _number(line.values[column], line.spread.get(column)) + _difference(line, reference, column)
            for column in table.columns
        ]
        rows.append([_name(line), str(line.clips or ""), *values, line.source or "this run"])
    parts = [f"## {table.title}", _pipes(rows)]
    lines = [line for line in table.lines if line.by_sequence]
    for metric in table.by_sequence:
        rows = [["sequence", *map(_name, lines)]]
        rows += [[sequence, *(_of_sequence(line, sequence, metric) for line in lines)] for sequence in table.sequences]
        parts += [f"{heading(metric)} by sequence:", _pipes(rows)]
    return "\n\n".join([*parts, *(f"> {note}" for note in table.notes)]) + "\n"


def _name(line: Line) -> str:
    return f"*{line.system}*" if line.source else f"**{line.system}**"


def _difference(line: Line, reference: Line, column: str) -> str:
    mine, other = line.values[column], reference.values[column]
    return "" if line is reference or mine is None or other is None else f" ({mine - other:+.1f})"


def _of_sequence(line: Line, sequence: str, metric: str) -> str:
    return "missing" if sequence in line.missing else _number(line.by_sequence.get(sequence, {}).get(metric))


def _pipes(rows: list[list[str]]) -> str:
    head, *others = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others])


def _number(value: float | None, spread: float | None = None) -> str:
    if value is None:
        return "—"
    digits = 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def write(folder: Path, tables: Sequence[Filled], scores: Sequence[Score], failures: Mapping[str, str]) -> list[Path]:
    """Write every table as CSV, all of them as Markdown and JSON, and the scores of all clips; files are replaced.

    Args:
        folder: where.
        tables: filled.
        scores: of all clips.
        failures: by task, why there is no score.
    """
    text = "\n".join(markdown(table) for table in tables)
    if failures:
        text += "\n## Failed\n\n" + "".join(f"- `{task}`: {error}\n" for task, error in failures.items())
    document = {"tables": [asdict(table) for table in tables], "scores": list(scores), "failures": dict(failures)}
    written = {
        "tables.md": text,
        "tables.json": json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n",
        "clips.csv": _clips_csv(scores),
        **{f"{table.name}.csv": _table_csv(table) for table in tables},
    }
    for name, content in written.items():
        with partial_file(folder / name) as partial:
            partial.write_text(content, encoding="utf-8")
    return [folder / name for name in written]


def _table_csv(table: Filled) -> str:
    return _csv(
        [["system", "source", "clips", *table.columns]]
        + [
            [line.system, line.source, line.clips or "", *(line.values[column] for column in table.columns)]
            for line in table.lines
        ]
    )


def _clips_csv(scores: Sequence[Score]) -> str:
    metrics = list(dict.fromkeys(name for one in scores for name in one["metrics"]))
    facts = ("row", "sequence", "start", "stop", "seed")
    rows = [
        [*(one[fact] for fact in facts), *(one["metrics"].get(name, (None,))[0] for name in metrics)] for one in scores
    ]
    return _csv([[*facts, *metrics], *rows])


def _csv(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
