"""Tables of what `accuracy.py` measured."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from diffopt.config import shipped

METRICS = {
    "g_mpjpe_mm": "G-MPJPE", "w_mpjpe_100_mm": "W-MPJPE100", "wa_mpjpe_100_mm": "WA-MPJPE100", "rte_percent": "RTE %",
    "pa_mpjpe_mm": "PA-MPJPE", "foot_sliding_mm": "sliding mm", "jitter": "jitter", "roe_deg": "ROE deg",
    "ate_mm": "ATE mm", "scale_log_error": "log scale error", "gravity_deg": "gravity deg", "seconds": "seconds",
}  # fmt: skip
MEDIANS = ("scale_log_error", "gravity_deg")
FULL, ORACLE = "full", "true_scale"
PAPERS_OWN = "paper"
"""The row of the paper's own recipe; its ablations begin with this word."""
PAPER = {
    "learnable_tensors": "Learnable tensors", "single_stage": "Single stage", "no_warmup": "w/o warm-up",
    "no_mdm": "w/o MDM step", "no_finetuning": "w/o fine-tuning", "vposer": "VPoser instead of MDM", FULL: "Full",
}  # fmt: skip
"""The paper's Table 5, in its order: what it calls our row. Its figures stand in `configs/emdb_ablations.yaml`."""

Case = tuple[str, int]
"""Family and seed."""
Records = dict[tuple[str, int, str], dict[str, Any]]


def write_tables(records: Records, rows: list[str], out: Path) -> None:
    """Print and write the tables: rows against metrics and families, win rates, the paper's ablations."""
    parts = [_means(records, rows), _medians(records, rows)]
    parts += [_families(records, rows, metric) for metric in ("g_mpjpe_mm", "w_mpjpe_100_mm")]
    if any(row == ORACLE for *_, row in records):
        parts.append(_wins(records, rows))
    for full, prefix in ((FULL, ""), (PAPERS_OWN, f"{PAPERS_OWN}_")):
        ablations = {full if row == FULL else prefix + row: name for row, name in PAPER.items()}
        if any(row in ablations for *_, row in records):
            parts.append(_paper(records, full, ablations))
    text = "\n\n".join(parts)
    print(text)
    (out / "table.md").write_text(text + "\n")
    with (out / "records.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["family", "seed", "row", *METRICS])
        for (family, seed, row), record in sorted(records.items()):
            writer.writerow([family, seed, row, *(record.get(metric, "") for metric in METRICS)])


def values_of(records: Records, row: str, metric: str) -> dict[Case, float]:
    """A row's finite values by case."""
    return {
        (family, seed): record[metric]
        for (family, seed, name), record in records.items()
        if name == row and np.isfinite(record.get(metric, np.nan))
    }


def in_common(records: Records, row: str, other: str, metric: str) -> dict[Case, tuple[float, float]]:
    """Both rows' values by case, of the cases that both have: a row without the hard ones is no better for that."""
    mine, others = values_of(records, row, metric), values_of(records, other, metric)
    return {case: (mine[case], others[case]) for case in sorted(mine.keys() & others.keys())}


def _means(records: Records, rows: list[str]) -> str:
    def cell(values: dict[Case, float], metric: str) -> str:
        middle = np.median if metric in MEDIANS else np.mean
        spread = _spread(values, middle)
        shown = "" if spread is None else f" ({spread:.{_digits(metric)}f})"
        return f"{middle(list(values.values())):.{_digits(metric)}f}{shown}"

    note = "Means over cases (medians of scale and gravity); in brackets the standard deviation of the seeds' means."
    return _metrics(records, rows, note, cell)


def _medians(records: Records, rows: list[str]) -> str:
    def cell(values: dict[Case, float], metric: str) -> str:
        return f"{np.median(list(values.values())):.{_digits(metric)}f}"

    return _metrics(records, rows, "Medians over cases.", cell)


def _metrics(records: Records, rows: list[str], note: str, cell: Callable[[dict[Case, float], str], str]) -> str:
    """Rows against metrics."""
    lines = [note, "", "| row | cases | " + " | ".join(METRICS.values()) + " |", "|---|---|" + "---|" * len(METRICS)]
    for row in rows:
        found = {metric: values_of(records, row, metric) for metric in METRICS}
        cells = [cell(values, metric) if values else "" for metric, values in found.items()]
        lines.append(f"| {row} | {len(found['g_mpjpe_mm'])} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: dict[Case, float], middle: Callable[[list[float]], float]) -> float | None:
    """Standard deviation of the seeds' means; None for a single seed."""
    seeds = {seed for _, seed in values}
    by_seed = [middle([value for (_, own), value in values.items() if own == seed]) for seed in seeds]
    return float(np.std(by_seed)) if len(by_seed) > 1 else None


def _families(records: Records, rows: list[str], metric: str) -> str:
    families = list(dict.fromkeys(family for family, *_ in records))
    lines = [f"{METRICS[metric]} by family, mean over seeds.", "", "| row | " + " | ".join(families) + " |"]
    lines.append("|---|" + "---|" * len(families))
    for row in rows:
        values = values_of(records, row, metric)
        means = [[value for (f, _), value in values.items() if f == family] for family in families]
        lines.append(f"| {row} | " + " | ".join(f"{np.mean(v):.0f}" if v else "" for v in means) + " |")
    return "\n".join(lines)


def _wins(records: Records, rows: list[str]) -> str:
    metrics = ["g_mpjpe_mm", "w_mpjpe_100_mm", "rte_percent", "pa_mpjpe_mm", "foot_sliding_mm", "jitter"]
    lines = [
        "Against the composition with the true scale: ratio of the means, share of cases that are better, and for "
        "W-MPJPE100 also the share that is not worse by more than 5 %.",
        "",
        "| row | " + " | ".join(METRICS[metric] for metric in metrics) + " | not worse |",
        "|---|" + "---|" * (len(metrics) + 1),
    ]
    for row in rows:
        cells, kept = [], ""
        for metric in metrics:
            both = in_common(records, row, ORACLE, metric)
            if not both:
                cells.append("")
                continue
            a, b = np.array(list(both.values())).T
            cells.append(f"{a.mean() / b.mean():.2f} ({(a < b).mean():.0%})")
            if metric == "w_mpjpe_100_mm":
                kept = f"{(a <= 1.05 * b).mean():.0%}"
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {kept} |")
    return "\n".join(lines)


def _paper(records: Records, full: str, ablations: dict[str, str]) -> str:
    """The paper's ablations, ours beside its own figures, which are of other data: it is the ratios that compare."""
    tables = yaml.safe_load(shipped("emdb_ablations").read_text())["tables"]
    figures = {row: one["values"] for table in tables.values() for row, one in table["published"].items()}
    published = {row: values["g_mpjpe_mm"] for row, values in figures.items()}
    lines = [
        f"The paper's Table 5, on `{full}`: G-MPJPE in mm, mean over cases ± standard deviation of the seeds' means. "
        "Against the full recipe, over the cases that both have: their number, the ratio of the means, the share in "
        "which the full recipe is better. Last, the paper's own figure and its ratio.",
        "",
        "| | cases | G-MPJPE | in common | ratio to full | full is better | paper | paper's ratio |",
        "|---" * 8 + "|",
    ]
    for row, name in ablations.items():
        values = values_of(records, row, "g_mpjpe_mm")
        if not values:
            continue
        spread = _spread(values, np.mean)
        mean = f"{np.mean(list(values.values())):.1f}" + ("" if spread is None else f" ± {spread:.1f}")
        cells = [str(len(values)), mean]
        both = np.array(list(in_common(records, row, full, "g_mpjpe_mm").values()))
        if len(both):
            mine, whole = both.T
            better = "" if row == full else f"{(whole < mine).mean():.0%}"
            cells += [str(len(both)), f"{mine.mean() / whole.mean():.2f}", better]
        else:
            cells += ["0", "", ""]
        cells += [f"{published[row]:.1f}", f"{published[row] / published[full]:.2f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _digits(metric: str) -> int:
    return {"rte_percent": 2, "scale_log_error": 3, "gravity_deg": 1, "roe_deg": 1, "foot_sliding_mm": 1}.get(metric, 0)
