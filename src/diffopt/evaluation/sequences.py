"""The true side of an evaluation: EMDB's sequences, or observations that carry their truth."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from diffopt.body.model import BodyModel, load_body
from diffopt.errors import DiffoptError
from diffopt.evaluation.truth import true_cameras, true_motion
from diffopt.formats.containers import open_container
from diffopt.formats.placement import place_bodies, shape_for
from diffopt.formats.recognition import FORMATS, OBSERVATION, name_of
from diffopt.geometry.cameras import Cameras
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation

SPLITS = ("emdb1", "emdb2")
EMDB_ENDING = "_data.pkl"


@dataclass(frozen=True)
class Sequence:
    """One sequence with its true motion and camera in one world: y up, metres."""

    motion: Motion
    betas: Float[Tensor, "10"]
    body: BodyModel
    """Whom the truth's betas belong to."""
    cameras: Cameras | None
    valid: Bool[Tensor, "T"]
    """Frames that count."""
    fps: float
    splits: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.motion)


def find_sequences(dataset: Path, protocol: str) -> dict[str, Path]:
    """The files with the truth, by the sequence's name, in the order of the names.

    Args:
        dataset: a folder; it is searched to its bottom.
        protocol: `emdb` or `observations`.

    Raises:
        DiffoptError: the folder holds none.
    """
    if not dataset.is_dir():
        raise DiffoptError(f"dataset={dataset}: no such folder; give the one that holds {_expected(protocol)}.")
    if protocol == "emdb":
        found = {path.name.removesuffix(EMDB_ENDING): path for path in dataset.rglob(f"*{EMDB_ENDING}")}
    else:
        found = {path.stem: path for path in dataset.rglob("*.npz") if _carries_truth(path)}
    if not found:
        raise DiffoptError(f"dataset={dataset}: holds no {_expected(protocol)}; give the folder that does.")
    return dict(sorted(found.items()))


def _expected(protocol: str) -> str:
    return f"EMDB's files (P0/09_outdoor_walk/P0_09_outdoor_walk{EMDB_ENDING})" if protocol == "emdb" else (
        "observation files (.npz) with truth"
    )  # fmt: skip


def _carries_truth(path: Path) -> bool:
    with np.load(path, allow_pickle=False) as archive:
        return {"schema", "truth_transl"} <= set(archive.files)


def read_sequence(
    path: Path, model: str, truth_models: dict[str, str], keypoint_regressor: str | None = None
) -> Sequence:
    """The truth of one sequence.

    Args:
        path: EMDB's file or an observation.
        model: the body that fits use: `free` or a SMPL file.
        truth_models: SMPL files by EMDB's genders.
        keypoint_regressor: of all SMPL files, which share a mesh; None fits it.
    """
    content = open_container(path)
    name = name_of(content, path)
    if name == OBSERVATION:
        observation = Observation.load(path)
        return Sequence(
            motion=true_motion(observation),
            betas=torch.as_tensor(observation.truth_betas).float(),
            body=body_of(model, keypoint_regressor),
            cameras=true_cameras(observation),
            valid=torch.ones(observation.num_frames, dtype=torch.bool),
            fps=observation.fps,
        )
    if name != "emdb":
        raise DiffoptError(f"{path}: written by {name}; expected EMDB's truth; give EMDB's folder as `dataset=`.")
    parts = FORMATS["emdb"].parse(content)
    assert parts.truth is not None and parts.truth.keypoints is not None and parts.camera is not None
    body = body_of(truth_models.get(str(content.get("gender", "")), model), keypoint_regressor)
    betas = torch.as_tensor(shape_for(parts.truth.body, body)).float()
    placed = place_bodies(parts.truth.body, parts.truth.frames, body)
    camera, lens = parts.camera, parts.camera.lens
    assert lens is not None and parts.fps is not None
    return Sequence(
        motion=Motion(
            torch.as_tensor(placed.body_pose).float(),
            torch.as_tensor(placed.global_orient).float(),
            torch.as_tensor(placed.pelvis).float() - body.rest_joints(betas)[0],
        ),
        betas=betas,
        body=body,
        cameras=Cameras(
            torch.as_tensor(camera.rotation_w2c).float(),
            torch.as_tensor(camera.translation_w2c).float(),
            torch.as_tensor(lens.focal_px).float(),
            torch.as_tensor(lens.center_px).float(),
        ),
        valid=torch.as_tensor(np.isin(parts.truth.frames, parts.truth.keypoints.frames)),
        fps=parts.fps,
        splits=tuple(split for split in SPLITS if bool(content.get(split, False))),
    )


@lru_cache(maxsize=4)
def body_of(model: str, keypoint_regressor: str | None = None) -> BodyModel:
    """A body, read once in each process."""
    return load_body(model, keypoint_regressor)
