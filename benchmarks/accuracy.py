"""How true the motion of a fit is: captured motion, filmed by virtual cameras, seen by tools with their usual errors.

    python benchmarks/accuracy.py MOCAP [MOCAP ...] [--rows full,true_scale] [--families walk,run] [--seeds 0,1,2]
                                  [--level usual] [--workers 1] [--out FOLDER]

Every case (family, seed) is fitted by every row of `accuracy.yaml`; each pair is kept as one JSON file, so that a run
that was stopped goes on. Prints tables of means (with the spread over seeds) and medians over cases, of win rates
against the composition with the true scale, and of the paper's ablations beside the paper's own figures; writes them
as Markdown and CSV beside the records, and plots of all cases.
"""

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from accuracy_plots import write_plots
from accuracy_rows import compose
from accuracy_table import Records, write_tables

from diffopt.body.model import load_body
from diffopt.body.stature import stature
from diffopt.config import Config, load_config, to_yaml
from diffopt.evaluation.truth import TruthScore
from diffopt.files.atomic import partial_file
from diffopt.fitting.run import Fitted, fit_sequence, prior_for
from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.known_height import with_known_height
from diffopt.mocap.clip import MotionClip
from diffopt.mocap.reading import read_motions
from diffopt.observation.observation import Observation
from diffopt.simulation.front_end_errors import DETECTORS
from diffopt.simulation.performance import concatenate, retarget
from diffopt.simulation.synthetic import simulate_observation

TRAVELS_M = 0.1
"""A camera that strays less than this from the middle of its path has no scale to find."""
PLAN = Path(__file__).with_name("accuracy.yaml")


def make_case(plan: dict[str, Any], clips: dict[str, MotionClip], family: str, seed: int, level: str) -> Observation:
    """What the tools saw of one family's clip, with one seed's camera, performer and errors."""
    entry = plan["families"][family]
    names = entry["clip"] if isinstance(entry["clip"], list) else [entry["clip"]]
    clip = concatenate([clips[name] for name in names])
    frames = entry.get("frames", plan["frames"])
    part = slice(entry["start"], entry["start"] + frames)
    clip = replace(clip, rotations=clip.rotations[part], root=clip.root[part])
    body = load_body()
    # Another performer, camera and errors for every clip: seeds alone would film all clips from three angles.
    draw = zlib.crc32(f"{names[0]} {seed}".encode())
    betas = 0.5 * torch.randn(10, generator=torch.Generator().manual_seed(draw))
    observation = simulate_observation(
        body,
        *retarget(clip, body, betas),
        fps=clip.fps,
        camera=entry["cameras"][seed % len(entry["cameras"])],
        errors=replace(DETECTORS.scaled(plan["levels"][level]), **entry.get("errors", {})),
        seed=draw,
        name=family,
    )
    if entry.get("no_camera", False):
        standing = np.eye(3, dtype=np.float32)[None].repeat(observation.num_frames, axis=0)
        observation = replace(
            observation, rotation_w2c=standing, translation_w2c=np.zeros_like(observation.translation_w2c)
        )
    if entry.get("height_known", False):
        observation = with_known_height(replace(observation, height_m=float(stature(body, betas))), body)
    return observation


def configuration(row: dict[str, Any]) -> Config:
    """The configuration of a row that fits."""
    return load_config(row.get("config"), ["logging.wandb=disabled", *row.get("overrides", [])])


def measure(job: tuple[dict[str, Any], Path, Observation, int]) -> None:
    """One row on one case, kept as a file."""
    row, path, observation, seed = job
    torch.set_num_threads(1)
    body = load_body()
    score = TruthScore(observation, body)
    record: dict[str, Any] = {"seconds": 0.0}
    if "composition" in row:
        record.update(score(*compose(observation, row["composition"])))
    else:
        fitted = fit(row, observation, seed)
        record.update(score(fitted.motion, fitted.cameras), seconds=fitted.seconds)
        record.update(_found(observation, fitted.cameras))
    with partial_file(path) as partial:
        partial.write_text(json.dumps(record))


def fit(row: dict[str, Any], observation: Observation, seed: int) -> Fitted:
    """The fit of a row that fits."""
    config = configuration(row)
    prior = prior_for(config.fit, config.prior.path)
    with tempfile.TemporaryDirectory() as work:
        return fit_sequence(
            observation, load_body(), prior, config.fit, config.guidance, config.logging, seed, "cpu", Path(work),
            show_progress=False,
        )  # fmt: skip


def _found(observation: Observation, cameras: Cameras) -> dict[str, float]:
    """Errors of scale and gravity, where they had to be found."""
    found = {"gravity_deg": float(gravity_deg(observation, cameras).mean())}
    scale = relative_scale(observation, cameras)
    if scale is not None:
        found["scale_log_error"] = abs(float(np.log(scale)))
    return found


def gravity_deg(observation: Observation, cameras: Cameras) -> np.ndarray:
    """Angle between up as found and as it is, both seen from the camera, (T,)."""
    up_c = cameras.rotation_w2c[:, :, 1].double().numpy()
    true_up_c = observation.truth_rotation_w2c[:, :, 1].astype(np.float64)
    return np.degrees(np.arccos(np.einsum("tk,tk->t", up_c, true_up_c).clip(-1, 1)))


def relative_scale(observation: Observation, cameras: Cameras) -> float | None:
    """Size of the camera's path by its true size; None where it was given or cannot be found."""
    true_extent = _extent(observation.truth_rotation_w2c, observation.truth_translation_w2c)
    if observation.camera_scale != "unknown" or true_extent <= TRAVELS_M:
        return None
    extent = _extent(cameras.rotation_w2c.numpy(), cameras.translation_w2c.numpy())
    return max(extent, 1e-6) / true_extent


def _extent(rotation_w2c: np.ndarray, translation_w2c: np.ndarray) -> float:
    """How far a camera travels about the middle of its path, root mean square, metres."""
    centers = -np.einsum("tji,tj->ti", rotation_w2c.astype(np.float64), translation_w2c.astype(np.float64))
    return float(np.sqrt(np.square(centers - centers.mean(axis=0)).sum(axis=1).mean()))


def parser_of_cases(description: str | None) -> argparse.ArgumentParser:
    """The options that say which cases there are, and where their records lie."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mocap", nargs="+", type=Path, help="files or folders of motions that hold the plan's clips")
    parser.add_argument("--plan", type=Path, default=PLAN, help="cases, levels and rows")
    parser.add_argument("--families", help="else all of the plan's that are no `extra`")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--level", default="usual")
    parser.add_argument("--out", type=Path, default=Path("out/accuracy"), help="where the records are kept")
    return parser


def read_cases(options: argparse.Namespace) -> tuple[dict[str, Any], dict[tuple[str, int], Observation]]:
    """The plan, and the observation of every (family, seed) that is asked for."""
    plan = yaml.safe_load(options.plan.read_text())
    usual = [name for name, entry in plan["families"].items() if not entry.get("extra")]
    families = options.families.split(",") if options.families else usual
    seeds = [int(seed) for seed in options.seeds.split(",")]
    clips = {clip.name: clip for path in options.mocap for clip in read_motions(path)}
    cases = [(family, seed) for family in families for seed in seeds]
    return plan, {case: make_case(plan, clips, *case, options.level) for case in cases}


def record_path(options: argparse.Namespace, name: str, row: dict[str, Any], seed: int, case: Observation) -> Path:
    """Where a row's record of a case is kept: under another name once the row's settings or the case are others."""
    what = row["composition"] if "composition" in row else to_yaml(configuration(row))
    key = hashlib.sha256((what + _digest(case)).encode()).hexdigest()[:10]
    return options.out / f"{options.level}-{case.name}-{seed}-{name}-{key}.json"


def read_records(paths: dict[tuple[str, int, str], Path]) -> Records:
    """The records that are there already."""
    return {key: json.loads(path.read_text()) for key, path in paths.items() if path.exists()}


def main(arguments: list[str] | None = None) -> None:
    parser = parser_of_cases(__doc__)
    parser.add_argument("--rows", help="else all of the plan's")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only print what is there already")
    options = parser.parse_args(arguments)
    plan, cases = read_cases(options)
    rows = options.rows.split(",") if options.rows else list(plan["rows"])
    paths = {
        (family, seed, name): record_path(options, name, plan["rows"][name], seed, observation)
        for (family, seed), observation in cases.items()
        for name in rows
    }
    jobs = [
        (plan["rows"][name], path, cases[family, seed], seed)
        for (family, seed, name), path in paths.items()
        if not path.exists()
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.table:
        _work(jobs, options.workers)
    records = read_records(paths)
    write_tables(records, rows, options.out)
    write_plots(records, rows, options.out)


def _work(jobs: list[Any], workers: int) -> None:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for count, _ in enumerate(pool.imap(measure, jobs), start=1):
            print(f"{count}/{len(jobs)}", flush=True)


def _digest(observation: Observation) -> str:
    arrays = (observation.keypoints_px, observation.body_pose, observation.translation_w2c, observation.rotation_w2c)
    return hashlib.sha256(b"".join(np.nan_to_num(array).tobytes() for array in arrays)).hexdigest()


if __name__ == "__main__":
    main()
