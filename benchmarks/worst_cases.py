"""Pictures of the cases in which a fit is worst off beside what it was given: fitted anew, drawn beside the truth.

    python benchmarks/worst_cases.py MOCAP [MOCAP ...] [--count 3] [--families walk,run] [--seeds 0,1,2] [--level usual]
                                     [--out FOLDER] [--docs docs/pictures/worst_cases.png]

Reads what `accuracy.py` kept of the rows `full` and `true_scale` for the same plan, level and seeds, and takes the
cases with the largest W-MPJPE100 of the fit as a share of the composition's with the true scale: cases that are hard
for every method are no failures of this one. Writes a picture for each to `worst_cases/` beside the records, and all
of them as one to `--docs`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from accuracy import fit, gravity_deg, parser_of_cases, read_cases, read_records, record_path, relative_scale
from accuracy_rows import compose
from accuracy_table import FULL, ORACLE, Case, in_common
from case_picture import FittedCase, write_panels

from diffopt.body.model import load_body
from diffopt.evaluation.truth import TruthScore, track
from diffopt.observation.observation import Observation


def worst(both: dict[Case, tuple[float, float]], count: int) -> list[Case]:
    """The cases with the largest ratio of the first value to the second, the worst first."""
    return sorted(both, key=lambda case: both[case][0] / both[case][1], reverse=True)[:count]


def fitted_case(observation: Observation, row: dict[str, Any], seed: int) -> FittedCase:
    """Fit a case and gather what its picture shows."""
    body = load_body()
    judge = TruthScore(observation, body)
    fitted = fit(row, observation, seed)
    estimates = (compose(observation, ORACLE), (fitted.motion, fitted.cameras))
    before, after = (judge(motion, cameras) for motion, cameras in estimates)
    scale = relative_scale(observation, fitted.cameras)
    figures = [
        f"{name} {after[metric]:.0f} mm (composed {before[metric]:.0f})"
        for name, metric in (("W-MPJPE100", "w_mpjpe_100_mm"), ("G-MPJPE", "g_mpjpe_mm"))
    ]
    figures.append(f"up off by {gravity_deg(observation, fitted.cameras).mean():.1f}°")
    figures.append("no scale to find" if scale is None else f"scale off by {100 * (scale - 1):+.0f} %")
    camera = json.loads(observation.provenance)["camera"]
    return FittedCase(
        f"{observation.name.replace('_', ' ')}, seed {seed}, camera: {camera}", ", ".join(figures), observation.fps,
        judge.true.double(),
        *(track(motion, judge.betas, body, cameras).double() for motion, cameras in estimates),
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of_cases(__doc__)
    parser.add_argument("--count", type=int, default=3, help="how many cases")
    parser.add_argument("--docs", type=Path, help="a picture of all of them, too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    plan, cases = read_cases(options)
    paths = {
        (*case, name): record_path(options, name, plan["rows"][name], case[1], observation)
        for case, observation in cases.items()
        for name in (FULL, ORACLE)
    }
    both = in_common(read_records(paths), FULL, ORACLE, "w_mpjpe_100_mm")
    if not both:
        raise SystemExit(f"{options.out}: no case with records of '{FULL}' and '{ORACLE}'; run accuracy.py first.")
    panels = []
    for family, seed in worst(both, options.count):
        panel = fitted_case(cases[family, seed], plan["rows"][FULL], seed)
        print(write_panels(options.out / "worst_cases" / f"{family}-{seed}.png", [panel]), flush=True)
        panels.append(panel)
    if options.docs:
        print(write_panels(options.docs, panels))


if __name__ == "__main__":
    main()
