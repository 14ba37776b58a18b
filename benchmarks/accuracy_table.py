"""Tables of what `accuracy.py` measured."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

METRICS = {
    "g_mpjpe_mm": "G-MPJPE", "w_mpjpe_100_mm": "W-MPJPE100", "wa_mpjpe_100_mm": "WA-MPJPE100", "rte_percent": "RTE %",
    "pa_mpjpe_mm": "PA-MPJPE", "foot_sliding_mm": "sliding mm", "jitter": "jitter", "roe_deg": "ROE deg",
    "ate_mm": "ATE mm", "scale_log_error": "|log scale|", "gravity_deg": "gravity deg", "seconds": "seconds",
}  # fmt: skip
MEDIANS = ("scale_log_error", "gravity_deg")
ORACLE = "true_scale"

Records = dict[tuple[str, int, str], dict[str, Any]]


def write_tables(records: Records, rows: list[str], out: Path) -> None:
    """Print and write the tables: rows against metrics, rows against families, win rates."""
    parts = [_rows(records, rows), _families(records, rows, "g_mpjpe_mm"), _families(records, rows, "w_mpjpe_100_mm")]
    if any(row == ORACLE for *_, row in records):
        parts.append(_wins(records, rows))
    text = "\n\n".join(parts)
    print(text)
    (out / "table.md").write_text(text + "\n")
    with (out / "records.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["family", "seed", "row", *METRICS])
        for (family, seed, row), record in sorted(records.items()):
            writer.writerow([family, seed, row, *(record.get(metric, "") for metric in METRICS)])


def _of(records: Records, row: str, metric: str) -> dict[tuple[str, int], float]:
    return {
        (family, seed): record[metric]
        for (family, seed, name), record in records.items()
        if name == row and np.isfinite(record.get(metric, np.nan))
    }


def _rows(records: Records, rows: list[str]) -> str:
    lines = [
        "Means over cases (medians of scale and gravity); in brackets the standard deviation of the seeds' means.",
        "",
        "| row | cases | " + " | ".join(METRICS.values()) + " |",
        "|---|---|" + "---|" * len(METRICS),
    ]
    for row in rows:
        cells = []
        for metric in METRICS:
            values = _of(records, row, metric)
            if not values:
                cells.append("")
                continue
            middle = np.median if metric in MEDIANS else np.mean
            by_seed = [
                middle([value for (_, s), value in values.items() if s == seed]) for seed in {s for _, s in values}
            ]
            spread = f" ({np.std(by_seed):.{_digits(metric)}f})" if len(by_seed) > 1 else ""
            cells.append(f"{middle(list(values.values())):.{_digits(metric)}f}{spread}")
        lines.append(f"| {row} | {len(_of(records, row, 'g_mpjpe_mm'))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _families(records: Records, rows: list[str], metric: str) -> str:
    families = list(dict.fromkeys(family for family, *_ in records))
    lines = [f"{METRICS[metric]} by family, mean over seeds.", "", "| row | " + " | ".join(families) + " |"]
    lines.append("|---|" + "---|" * len(families))
    for row in rows:
        values = _of(records, row, metric)
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
            mine, oracle = _of(records, row, metric), _of(records, ORACLE, metric)
            both = sorted(mine.keys() & oracle.keys())
            if not both:
                cells.append("")
                continue
            a, b = np.array([mine[key] for key in both]), np.array([oracle[key] for key in both])
            cells.append(f"{a.mean() / b.mean():.2f} ({(a < b).mean():.0%})")
            if metric == "w_mpjpe_100_mm":
                kept = f"{(a <= 1.05 * b).mean():.0%}"
        lines.append(f"| {row} | " + " | ".join(cells) + f" | {kept} |")
    return "\n".join(lines)


def _digits(metric: str) -> int:
    return {"rte_percent": 2, "scale_log_error": 3, "gravity_deg": 1, "roe_deg": 1, "foot_sliding_mm": 1}.get(metric, 0)
