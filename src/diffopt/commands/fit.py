"""What the commands do: source -> observation -> fit -> result folder -> pictures."""

import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape

from diffopt.body.model import BodyModel, load_body
from diffopt.config import Config, to_yaml
from diffopt.errors import DiffoptError
from diffopt.evaluation.truth import TruthScore
from diffopt.fitting.report import to_result
from diffopt.fitting.run import Fitted, fit_sequence, prior_for
from diffopt.formats.reading import import_notes, read
from diffopt.frontend.prepare import prepare
from diffopt.frontend.video import is_video
from diffopt.initialisation.known_height import with_known_height
from diffopt.observation.observation import Observation
from diffopt.result.result import Result, refuse_to_destroy
from diffopt.show.pictures import show
from diffopt.tracking import folder_of_its_own, refuse_without_account

HEADLINES = ("g_mpjpe_mm", "w_mpjpe_100_mm", "rte_percent", "pa_mpjpe_mm", "foot_sliding_mm", "ate_mm")
"""Metrics that the summary prints, before and after."""


def fit(
    config: Config,
    console: Console,
    observed: Observation | None = None,
    moved: Callable[[Result], Result] = lambda result: result,
) -> Path:
    """`diffopt fit`: from a source to a result folder with pictures.

    Args:
        config: what to fit, how, and where to.
        console: where to say what was found.
        observed: what to fit, where it is not simply the source.
        moved: puts the result into the world that it shall be in.

    Returns:
        The result folder.

    Raises:
        DiffoptError: the input or the configuration must be mended first; nothing is destroyed.
    """
    torch.set_num_threads(config.threads)
    folder = result_folder(config)
    refuse_to_destroy(folder, config.overwrite)
    refuse_without_account(config.logging.wandb)
    # The front end's cache and the fit's checkpoints live beside the result until it is complete.
    work = folder.parent / f".{folder.name}.work"
    seconds: dict[str, float] = {}
    body = load_body(config.body.model, config.body.keypoint_regressor)
    observation = observed or _timed(seconds, "front end", lambda: _observe(config, body, folder))
    _check_body(observation, body)
    for line in import_notes(observation):
        console.print(f"  {escape(line)}", soft_wrap=True)
    prior = prior_for(config.fit, config.prior.path)
    truth = TruthScore(observation, body) if observation.has_truth else None
    fitted = fit_sequence(
        observation,
        body,
        prior,
        config.fit,
        config.guidance,
        config.logging,
        config.seed,
        config.device,
        work,
        score=truth,
        settings=asdict(config),
    )
    seconds["fit"] = fitted.seconds
    metrics = None if truth is None else _compare(truth, fitted)
    facts = _run_facts(config, seconds)
    result = moved(to_result(fitted, observation, body, to_yaml(config), facts, metrics, config.fit.diagnostics))
    result.write(folder, overwrite=config.overwrite)
    observation.save(folder / "observation.npz")
    _keep_logs(work, folder)
    pictures: list[Path] = []
    if config.pictures:
        video = Path(config.source) if is_video(config.source) else None
        pictures = _timed(seconds, "pictures", lambda: show(folder, video, observation, body))
    _summary(console, result, folder, pictures, seconds)
    return folder


def result_folder(config: Config) -> Path:
    """Where the result goes."""
    if not config.source:
        raise DiffoptError("Nothing to fit: give a video or an observation, e.g. `source=video.mp4`.")
    return folder_of_its_own(Path(config.out) if config.out else Path("out") / Path(config.source).stem)


def frontend_cache(folder: Path) -> Path:
    """Where the front end keeps its stages until a result is complete."""
    return folder.with_name(f".{folder.name}.work") / "frontend"


def people_sheet(folder: Path) -> Path:
    """Where everybody in a video is drawn, beside the result."""
    return folder.with_name(f"{folder.name}_people.jpg")


def _observe(config: Config, body: BodyModel, folder: Path) -> Observation:
    source = Path(config.source)
    if not source.exists():
        raise DiffoptError(
            f"{source}: no such file. `source=` takes a video, an observation (.npz) or another tool's result file."
        )
    if is_video(config.source):
        sheet, kept = people_sheet(folder), frontend_cache(folder)
        return prepare(source, config.frontend, kept, body, config.body.height_m, sheet=sheet, force=config.force)
    observation = read(source, body=body)
    if config.body.height_m is not None:
        observation = replace(observation, height_m=config.body.height_m)
    return with_known_height(observation, body)


def _check_body(observation: Observation, body: BodyModel) -> None:
    if body.name != observation.body_model:
        mend = "set `body.model=` to your SMPL file" if observation.body_model == "smpl" else "set `body.model=free`"
        raise DiffoptError(
            f"Observation '{observation.name}' was made with the body '{observation.body_model}', but body.model is "
            f"'{body.name}'; their betas do not mean the same. To mend it, {mend}."
        )


def _compare(truth: TruthScore, fitted: Fitted) -> dict[str, Any]:
    """The metrics of the fit, and of what it was given."""
    state = fitted.initial
    return {
        **truth(fitted.motion, fitted.cameras),
        "initial_composition": truth(state.composed, state.cameras),
        "initial_path": truth(state.motion, state.cameras),
    }


def _run_facts(config: Config, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "versions": {name: version(name) for name in ("diffopt", "torch", "pytorch-lightning", "numpy", "roma")},
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "seed": config.seed,
        "source": str(Path(config.source).resolve().name),
        "seconds": seconds,
    }


def _keep_logs(work: Path, folder: Path) -> None:
    """Logs belong to the result; the checkpoints have served."""
    for name in ("logs", "wandb"):
        if (work / name).is_dir():
            shutil.copytree(work / name, folder / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(work / name)
    for checkpoints in work.glob("checkpoints-*"):
        shutil.rmtree(checkpoints)


def _timed(seconds: dict[str, float], part: str, work: Any) -> Any:
    started = time.perf_counter()
    done = work()
    seconds[part] = time.perf_counter() - started
    return done


def _summary(console: Console, result: Result, folder: Path, pictures: list[Path], seconds: dict[str, float]) -> None:
    pelvis = result.joints[:, 0]
    path_m = float(np.linalg.norm(np.diff(pelvis[:, [0, 2]], axis=0), axis=1).sum())
    duration = result.num_frames / result.fps
    console.print(f"\n[bold]{escape(str(folder))}[/]: {result.num_frames} frames, {duration:.1f} s")
    console.print(f"  the person travels {path_m:.2f} m ({path_m / duration:.2f} m/s)")
    median = result.diagnostics["reprojection_px_median"]
    if median is not None:
        console.print(f"  the body falls on the keypoints to {median:.1f} px (median)")
    console.print(f"  feet in contact move at {100 * result.diagnostics['contact_foot_speed_m_s']:.1f} cm/s")
    if lost := result.diagnostics["found"]["camera_lost_share"]:
        console.print(
            f"  the given camera stands still in {lost:.0%} of the steps though it must have moved; there the path is "
            "that of the legs. If it did stand, say `camera_trust=static` in the observation"
        )
    if low := result.diagnostics["low_trust"]:
        console.print("  low trust in frames " + ", ".join(f"{start}-{stop - 1}" for start, stop in low[:8]))
    if result.metrics is not None:
        before = result.metrics["initial_composition"]
        for name in HEADLINES:
            if name in result.metrics:
                console.print(f"  {name:18} {before[name]:8.1f} -> {result.metrics[name]:8.1f}")
    console.print("  seconds: " + ", ".join(f"{part} {value:.0f}" for part, value in seconds.items()))
    for picture in pictures:
        console.print(f"  {escape(str(picture))}")
