"""Runs the fit of one sequence: trainer, stages, logs, checkpoints."""

import contextlib
import hashlib
import logging
import shutil
import signal
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from jaxtyping import Bool
from numpy import ndarray
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger

from diffopt.body.model import BodyModel
from diffopt.device import accelerator_of, choose_device
from diffopt.fitting.batch import SequenceBatch
from diffopt.fitting.callbacks import FitProgress, LossCurves, MetricCurves, Score
from diffopt.fitting.datamodule import SequenceDataModule
from diffopt.fitting.fit import SequenceFit
from diffopt.fitting.options import FitOptions, LoggingOptions
from diffopt.fitting.stages import StageSwitch, stage_lengths
from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.recipe import initialise, world_solver
from diffopt.initialisation.state import InitialState
from diffopt.losses.guidance import Guidance
from diffopt.motion.correction import CameraCorrection
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.prior.interface import GuidingPrior
from diffopt.prior.motion_prior import MotionPrior, load_prior
from diffopt.prior.pose_prior import load_pose_prior
from diffopt.tracking import Replay, Run

NO_PRIOR = "none"
"""What `prior.path` says to fit without a motion prior."""
CURVE_POINTS = 100
"""Points kept of every loss curve."""


@dataclass(frozen=True)
class Fitted:
    """What a fit found, in its world: y up, metres, floor y = 0."""

    motion: Motion
    cameras: Cameras
    correction: CameraCorrection
    given: Cameras
    """The given cameras in the world of the fit, before their corrections."""
    findings: dict[str, float]
    """Scale, gravity and so on, as last found."""
    initial: InitialState
    """The world of the bodies as they were given."""
    batch: SequenceBatch
    swapped: Bool[ndarray, "T"]
    """Frames whose keypoints had left and right swapped."""
    curves: dict[str, dict[str, list[list[float]]]]
    seconds: float
    """Of this run alone, without what was done before a resume."""


def prior_for(options: FitOptions, path: str | Path) -> GuidingPrior | None:
    """The motion prior at `path` if the recipe asks for it, in a loss or for the initial path; else None.

    Raises:
        DiffoptError: the file is missing or not a prior.
    """
    if str(path) == NO_PRIOR or not (options.root_trajectory == "prior" or _asked("diffusion", options)):
        return None
    return load_prior(path)


def without_prior(options: FitOptions) -> FitOptions:
    """The recipe without L_Diff (eq. 3), wherever it is weighed."""
    stages = {
        name: replace(
            stage,
            updates={
                turn: replace(update, losses=replace(update.losses, diffusion=0.0))
                for turn, update in stage.updates.items()
            },
        )
        for name, stage in options.stages.items()
    }
    return replace(options, stages=stages)


def fit_sequence(
    observation: Observation,
    body: BodyModel,
    prior: GuidingPrior | None,
    options: FitOptions,
    guidance: Guidance,
    log_options: LoggingOptions,
    seed: int,
    device: str,
    work_dir: Path,
    score: Score | None = None,
    show_progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Fitted:
    """Fit one sequence; go on from the last checkpoint if one of the very same fit lies in `work_dir`.

    Args:
        observation: the sequence.
        body: the body that the observation's betas belong to.
        prior: the motion prior; None fits without one: L_Diff is left out, and the legs tell the initial path.
        options: field, corrections and stages.
        guidance: how the prior guides.
        log_options: curves and checkpoints.
        seed: seed of every random choice.
        device: `auto`, `cpu` or `cuda`.
        work_dir: where logs and checkpoints go.
        score: metrics of an estimate against the truth, where that is known.
        show_progress: draw a progress bar.
        settings: the configuration, for W&B.

    Returns:
        Motion and cameras.
    """
    started = time.perf_counter()
    if prior is None:
        options = without_prior(options)
    lengths = stage_lengths(options, observation.num_frames)
    # Only our own prior says what root trajectory belongs to a pose sequence.
    path_prior = prior if isinstance(prior, MotionPrior) else None
    solve = world_solver(observation, body, options.initialisation, options.root_trajectory, path_prior)
    move_bodies = options.root_trajectory != "composed"
    initialisation = initialise(observation, body, solve, options.initialisation, options.min_confidence, move_bodies)
    data = SequenceDataModule(
        initialisation.observation, options.min_confidence, options.unseen_trust, steps=sum(lengths.values())
    )
    fit = SequenceFit(
        initialisation.start,
        observation.fps,
        body,
        prior,
        options,
        guidance,
        trust=observation.camera_trust,
        seed=seed,
        pose_network=load_pose_prior(options.pose_prior) if _asked("pose_prior", options) else None,
    )
    fit.stage = next(iter(lengths))
    curves = LossCurves(every=max(2, data.steps // CURVE_POINTS))
    checkpoints = work_dir / f"checkpoints-{_fingerprint(initialisation.observation, options, guidance, seed, prior)}"
    replay = Replay()
    callbacks: list[pl.Callback] = [
        StageSwitch(options.stages, lengths, solve),
        curves,
        replay,
        ModelCheckpoint(
            dirpath=checkpoints, save_top_k=0, save_last=True, every_n_train_steps=log_options.checkpoint_every
        ),
    ]
    if score is not None:
        callbacks.append(MetricCurves(score, log_options.metrics_every))
    if show_progress:
        callbacks.append(FitProgress(data.steps))
    last = checkpoints / "last.ckpt"
    with _quiet_lightning():
        trainer = pl.Trainer(
            accelerator=accelerator_of(choose_device(device)),
            devices=1,
            max_epochs=1,
            max_steps=data.steps,
            logger=[*_loggers(observation.name, log_options, settings or {}, work_dir, checkpoints), replay],
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=work_dir,
        )
        try:
            trainer.fit(fit, datamodule=data, ckpt_path=last if last.exists() else None)
        except SystemExit as stopped:
            # Lightning's answer to Ctrl-C, after which it lets no further one through.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from stopped
    motion, cameras = fit.estimate()  # on the CPU again: Lightning clears the device
    return Fitted(
        motion=motion,
        cameras=cameras,
        correction=fit.correction,
        given=fit.start.cameras,
        findings=fit.start.findings,
        initial=initialisation.given,
        batch=data.batch,
        swapped=initialisation.swapped,
        curves=curves.curves,
        seconds=time.perf_counter() - started,
    )


def _asked(loss: str, options: FitOptions) -> bool:
    """Whether any stage that is run weighs a loss."""
    stages = [stage for stage in options.stages.values() if stage.steps > 0]
    return any(getattr(update.losses, loss) > 0 for stage in stages for update in stage.updates.values())


def _fingerprint(
    observation: Observation, options: FitOptions, guidance: Guidance, seed: int, prior: GuidingPrior | None
) -> str:
    """Names a fit by all that decides its course: a checkpoint of any other fit must not be taken up."""
    digest = hashlib.sha256()
    for value in asdict(observation).values():
        digest.update(value.tobytes() if hasattr(value, "tobytes") else repr(value).encode())
    digest.update(repr((options, guidance, seed)).encode())
    for parameter in prior.parameters() if prior is not None else ():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


def _loggers(
    name: str, options: LoggingOptions, settings: Mapping[str, Any], work_dir: Path, checkpoints: Path
) -> list[Logger]:
    for unfinished in ("logs", "wandb"):  # up to the checkpoint it is logged again (`Replay`)
        shutil.rmtree(work_dir / unfinished, ignore_errors=True)
    loggers: list[Logger] = [CSVLogger(work_dir, name="logs", version="")]
    if options.wandb != "disabled":
        kept = checkpoints / "wandb-id"
        loggers.append(Run(work_dir, options.wandb, options.project, name, kept, settings, options.machine))
    return loggers


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keeps Lightning's advice for large trainings (workers, checkpoint folders, devices) off a small fit's screen."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning")
            yield
    finally:
        logger.setLevel(level)
