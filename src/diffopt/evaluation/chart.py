"""A table of an evaluation as a picture: bars for every column, published figures beside ours."""

from pathlib import Path

from matplotlib.figure import Figure

from diffopt.evaluation.table import Filled, heading
from diffopt.files.atomic import partial_file
from diffopt.show.palette import BODY, FAINT, INK, WARNING

_TOO_LONG = 4.0
"""Bars beyond this many times the median are cut off, with their figure in them: one bad system would hide the rest."""


def draw(table: Filled, path: Path) -> Path:
    """Draw a table as an image file."""
    lines = list(table.lines)[::-1]
    wide, high = 1.6 + 2.4 * len(table.columns), 1.2 + 0.32 * len(lines)
    figure = Figure(figsize=(wide, high))
    axes = figure.subplots(1, len(table.columns), sharey=True, squeeze=False)
    for axis, column in zip(axes[0], table.columns, strict=True):
        values = [line.values[column] for line in lines]
        known = sorted(value for value in values if value is not None)
        limit = min(known[-1], _TOO_LONG * known[len(known) // 2]) if known else 1.0
        for place, (line, value) in enumerate(zip(lines, values, strict=True)):
            if value is None:
                continue
            color = FAINT if line.source else (WARNING if value > limit else BODY)
            axis.barh(place, min(value, limit), color=color, xerr=line.spread.get(column), ecolor=INK)
            axis.text(0.02 * limit, place, f"{value:.4g}", va="center", fontsize=8, color=INK)
        axis.set_title(heading(column), fontsize=9, color=INK)
        axis.set_xlim(0, 1.05 * limit or 1.0)
        axis.tick_params(labelsize=8, colors=INK)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_yticks(range(len(lines)), [line.system + (" (published)" if line.source else "") for line in lines])
    figure.suptitle(table.title, fontsize=10, color=INK)
    figure.tight_layout()
    with partial_file(path) as partial:
        figure.savefig(partial, dpi=150)
    return path
