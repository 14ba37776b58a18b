"""One task of an evaluation: one system on one clip, from its files to its scores."""

import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.evaluation.metrics import frame_errors
from diffopt.evaluation.sequences import Sequence, body_of, read_sequence
from diffopt.evaluation.truth import track
from diffopt.fitting.options import FitOptions, LoggingOptions
from diffopt.fitting.run import fit_sequence, prior_for
from diffopt.formats.reading import read
from diffopt.formats.recognition import OBSERVATION, recognise
from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.gravity import rotation_to_up
from diffopt.initialisation.known_height import with_known_height
from diffopt.initialisation.state import observed_bodies
from diffopt.initialisation.world import solve_world
from diffopt.losses.guidance import Guidance
from diffopt.motion.motion import Motion, turn_world
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import MotionPrior

SECONDS = "seconds_per_100_frames"
TRUE_CAMERA = "the true one"
"""What a reader notes as the camera when no file but the truth has one."""


@dataclass(frozen=True)
class Recipe:
    """How to fit."""

    fit: FitOptions
    guidance: Guidance
    prior: str
    seed: int
    device: str
    checkpoint_every: int


@dataclass(frozen=True)
class Clip:
    """One system on one clip. Its `repr` is what decides whether a kept score still counts."""

    row: str
    kind: str
    sequence: str
    truth: str
    files: tuple[str, ...]
    changed_ns: tuple[int, ...]
    """When the files were changed: a file written anew is a new task."""
    start: int
    stop: int
    body_model: str
    truth_models: dict[str, str]
    keypoint_regressor: str | None
    vertices: bool
    threads: int
    recipe: Recipe | None
    """None where nothing is fitted."""
    work: str = field(default="", repr=False)
    """Folder for the fit's checkpoints, with which a fit that was cut off goes on."""


class Estimate(NamedTuple):
    """What a system says of a clip, in a world of its own with y up."""

    motion: Motion
    cameras: Cameras
    betas: Float[Tensor, "10"]


def score_clip(clip: Clip) -> dict[str, Any]:
    """The scores of one system on one clip.

    Returns:
        Fit for JSON: what was scored, and `metrics` by name as [mean, number of values], so that means can be taken
        over clips of different length.

    Raises:
        DiffoptError: files that cannot be used, or that do not fit the truth.
    """
    torch.set_num_threads(clip.threads)
    body = body_of(clip.body_model, clip.keypoint_regressor)
    truth = read_sequence(Path(clip.truth), clip.body_model, clip.truth_models, clip.keypoint_regressor)
    observation = _read(clip, body)
    if observation.num_frames != len(truth):
        raise DiffoptError(
            f"{clip.files[0]}: covers {observation.num_frames} frames but the truth of {clip.sequence} {len(truth)}; "
            "expected files of the same video."
        )
    observation = observation.cut(clip.start, clip.stop)
    started = time.perf_counter()
    estimate = _estimate(clip, observation, body)
    seconds = time.perf_counter() - started
    metrics = compare(estimate, truth, slice(clip.start, clip.stop), body, clip.vertices)
    metrics[SECONDS] = [100 * seconds / observation.num_frames, 1]
    return {
        "row": clip.row,
        "sequence": clip.sequence,
        "splits": list(truth.splits),
        "start": clip.start,
        "stop": clip.stop,
        "seed": clip.recipe.seed if clip.recipe is not None and clip.kind == "fit" else None,
        "body": body.name,
        "truth_body": truth.body.name,
        "true_camera_used": json.loads(observation.provenance).get("camera") == TRUE_CAMERA,
        "metrics": metrics,
    }


def compare(
    estimate: Estimate, truth: Sequence, frames: slice, body: BodyModel, vertices: bool
) -> dict[str, list[float | int | None]]:
    """Every metric as [mean, number of values]; the mean is None where there was nothing to measure."""
    true_cameras = None if truth.cameras is None else truth.cameras[frames]
    motion = Motion(*(values[frames] for values in vars(truth.motion).values()))
    valid = truth.valid[frames]
    if int(valid.sum()) < 4:  # a jerk takes four
        raise DiffoptError(f"Frames {frames.start} to {frames.stop}: the truth holds in {int(valid.sum())} only.")
    true = track(motion, truth.betas, truth.body, true_cameras, vertices)
    found = track(estimate.motion, estimate.betas, body, None if true_cameras is None else estimate.cameras, vertices)
    if true.vertices is not None and found.vertices is not None and true.vertices.shape != found.vertices.shape:
        raise DiffoptError(
            f"The truth's mesh has {true.vertices.shape[1]} vertices but body.model={body.name} has "
            f"{found.vertices.shape[1]}; set `body.model=` to a SMPL file too, or `vertices=false`."
        )
    errors = frame_errors(found.double(valid), true.double(valid), truth.fps)
    return {name: _summary(values) for name, values in errors.items()}


def _summary(values: Tensor) -> list[float | int | None]:
    mean = values.mean()
    return [mean.item() if mean.isfinite() else None, values.numel()]


def _read(clip: Clip, body: BodyModel) -> Observation:
    own = [path for path in clip.files if path.endswith(".npz") and recognise(path) == OBSERVATION]
    if own:
        observation = Observation.load(own[0])
        if observation.body_model != body.name:
            raise DiffoptError(
                f"{own[0]}: made with the body '{observation.body_model}', but body.model is '{body.name}'; set it to "
                "the one the observation was made with."
            )
        return observation
    # EMDB's file says how large the image is, and how long the video; of the motion in it the readers take nothing.
    beside = [clip.truth] if recognise(clip.truth) != OBSERVATION else []
    return read([*clip.files, *beside], body=body, name=clip.sequence)


def _estimate(clip: Clip, observation: Observation, body: BodyModel) -> Estimate:
    if clip.kind == "given":
        return given_world(observation, body)
    observation = with_known_height(observation, body)
    assert clip.recipe is not None
    recipe = clip.recipe
    prior = prior_for(recipe.fit, recipe.prior)
    if clip.kind == "initial":
        path_prior = prior if isinstance(prior, MotionPrior) else None
        state = solve_world(observation, body, observed_bodies(observation), recipe.fit.initialisation, path_prior)
        return Estimate(state.composed, state.cameras, state.betas)
    work = Path(clip.work)
    fitted = fit_sequence(
        observation,
        body,
        prior,
        recipe.fit,
        recipe.guidance,
        LoggingOptions(wandb="disabled", checkpoint_every=recipe.checkpoint_every),
        recipe.seed,
        recipe.device,
        work,
        show_progress=False,
    )
    shutil.rmtree(work, ignore_errors=True)
    return Estimate(fitted.motion, fitted.cameras, fitted.initial.betas)


def given_world(observation: Observation, body: BodyModel) -> Estimate:
    """Bodies in the camera frame in the world of the given camera, at its own scale; y up where gravity is known."""
    betas = torch.as_tensor(observation.betas).float()
    rest = body.rest_joints(betas)[0]
    bodies = observed_bodies(observation)
    rotation = torch.as_tensor(observation.rotation_w2c).float()
    translation = torch.as_tensor(observation.translation_w2c).float()
    pelvis = (rotation.mT @ (bodies.transl + rest - translation)[..., None]).squeeze(-1)
    motion = Motion(bodies.body_pose, rotation.mT @ bodies.global_orient, pelvis - rest)
    if observation.gravity_w is not None:
        upright = torch.as_tensor(rotation_to_up(-observation.gravity_w.astype(float))).float()
        motion = turn_world(motion, rest, upright, torch.zeros(3))
        rotation = rotation @ upright.mT
    focal, center = (torch.as_tensor(values).float() for values in (observation.focal_px, observation.center_px))
    return Estimate(motion, Cameras(rotation, translation, focal, center), betas)
