"""Plots of what `accuracy.py` measured: every case a dot."""

from pathlib import Path

import numpy as np
from accuracy_table import FULL, METRICS, ORACLE, Records, in_common, values_of
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, ScalarFormatter

from diffopt.files.atomic import partial_file
from diffopt.show.curves import tidy
from diffopt.show.palette import FAINT, INK, ROOT, SERIES, TRUTH, WARNING

_MARKERS = "o^sD"
"""Past the last colour, the colours come again with another marker."""
_DPI = 110


def write_plots(records: Records, rows: list[str], out: Path) -> list[Path]:
    """Draw `rows.png`, and `cases.png` where a case has both rows that it compares."""
    written = []
    if records:
        written.append(_save(_rows(records, rows), out / "rows.png"))
    if in_common(records, FULL, ORACLE, "w_mpjpe_100_mm"):
        written.append(_save(_cases(records), out / "cases.png"))
    return written


def _rows(records: Records, rows: list[str]) -> Figure:
    """Rows against two metrics, the best one on top."""
    known = [row for row in rows if values_of(records, row, "g_mpjpe_mm")]
    known.sort(key=lambda row: np.median(list(values_of(records, row, "g_mpjpe_mm").values())), reverse=True)
    figure = Figure(figsize=(11, 1.3 + 0.3 * len(known)), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), ("g_mpjpe_mm", "w_mpjpe_100_mm"), strict=True):
        for place, row in enumerate(known):
            values = list(values_of(records, row, metric).values())
            color = ROOT if row == FULL else TRUTH
            axes.plot(values, np.full(len(values), place), "o", color=color, ms=5, alpha=0.4, mew=0)
            axes.plot([np.median(values)] * 2, [place - 0.36, place + 0.36], color=color, lw=2.6)
            axes.annotate(f"{np.median(values):.0f}", (1.01, place), xycoords=("axes fraction", "data"), va="center",
                          fontsize=9, color=color)  # fmt: skip
        axes.set(xscale="log", ylim=(-0.7, len(known) - 0.3))
        _log_ticks(axes, "x")
        tidy(axes)
        axes.grid(axis="x", color=FAINT, lw=0.5, alpha=0.6)
        axes.set_title(f"{METRICS[metric]}, mm", loc="left", fontsize=12, fontweight="bold", color=INK)
        axes.set_title("median", loc="right", fontsize=9, color=TRUTH)
        cases = [len(values_of(records, row, "g_mpjpe_mm")) for row in known]
        names = [f"{row.replace('_', ' ')} ({count})" for row, count in zip(known, cases, strict=True)]
        axes.set_yticks(range(len(known)), names)
    figure.supxlabel("A dot for every case, their number in brackets; a bar at the median.", fontsize=9, color=TRUTH)
    return figure


def _cases(records: Records) -> Figure:
    """Every case with the true scale's composition across and the full fit upwards."""
    metric = "w_mpjpe_100_mm"
    both = in_common(records, FULL, ORACLE, metric)
    everything = np.array(list(both.values()))
    low, high = everything.min() / 1.25, everything.max() * 1.25
    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    axes.fill_between([low, high], [low, high], high, color=WARNING, alpha=0.10, lw=0)
    axes.plot([low, high], [low, high], color=TRUTH, lw=1, ls=":")
    for number, family in enumerate(sorted({family for family, _ in both})):
        full, oracle = np.array([values for (own, _), values in both.items() if own == family]).T
        style = {"color": SERIES[number % len(SERIES)], "marker": _MARKERS[number // len(SERIES) % len(_MARKERS)]}
        axes.plot(oracle, full, ls="", ms=8, mec="white", mew=0.8, label=family.replace("_", " "), **style)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    _log_ticks(axes, "both")
    tidy(axes)
    axes.grid(color=FAINT, lw=0.5, alpha=0.6)
    axes.set_xlabel("composition with the true scale, mm", color=INK)
    axes.set_ylabel("full fit, mm", color=INK)
    better = np.mean(everything[:, 0] < everything[:, 1])
    axes.set_title(f"{METRICS[metric]} of {len(both)} cases", loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_title(f"better in {better:.0%}; shaded: worse", loc="right", fontsize=9, color=TRUTH)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure


def _log_ticks(axes: Axes, which: str) -> None:
    """Plain numbers at 1, 2 and 5 instead of powers of ten: most axes span hardly two of those."""
    for axis in (axes.xaxis, axes.yaxis) if which == "both" else (axes.xaxis,):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(LogLocator(subs="all"))
        axis.set_minor_formatter("")


def _save(figure: Figure, path: Path) -> Path:
    with partial_file(path) as partial:
        figure.savefig(partial, dpi=_DPI)
    return path
