"""Reads the user's licensed SMPL model through smplx: the only place that imports it."""

import contextlib
import io
from pathlib import Path

import numpy as np
import smplx
from einops import rearrange
from jaxtyping import Float
from numpy import ndarray
from smplx.utils import Struct
from smplx.vertex_ids import vertex_ids

from diffopt.body.arrays import BodyArrays
from diffopt.body.fitted_regressor import register, transfer
from diffopt.body.free import read_free_body
from diffopt.body.published_regressor import read_keypoint_regressor
from diffopt.errors import DiffoptError
from diffopt.files.unpickle import load_npz, load_pickle, plain
from diffopt.observation.keypoint_sets import SURFACE_NAMES

FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
# smplx's names for the vertices that it appends as joints, by our names.
SMPLX_NAMES = {
    "nose": "nose", "left_eye": "leye", "right_eye": "reye", "left_ear": "lear", "right_ear": "rear",
    "left_big_toe": "LBigToe", "right_big_toe": "RBigToe", "left_small_toe": "LSmallToe",
    "right_small_toe": "RSmallToe", "left_heel": "LHeel", "right_heel": "RHeel",
}  # fmt: skip


def read_smpl(path: Path, keypoint_regressor: Path | None = None) -> BodyArrays:
    """A SMPL model from its official `.pkl` (v1.0 or v1.1, chumpy not needed) or a `.npz` with the same keys.

    Args:
        path: the file.
        keypoint_regressor: the detectors' keypoints of its mesh, 17 rows (COCO) or 23 (with the feet); None fits those
            of the limbs. The face and the feet are vertices that smplx names, where no row is given.

    Raises:
        DiffoptError: a file is missing, not what it should be, or a pickle that would run code.
    """
    stored = _read(path)
    missing = [field for field in FIELDS if field not in stored]
    if missing:
        raise DiffoptError(
            f"{path}: not a SMPL model, since {', '.join(missing)} are missing. "
            "Give the file of smpl.is.tue.mpg.de, or `body.model=free`."
        )
    with contextlib.redirect_stdout(io.StringIO()):  # smplx remarks that ten shape coefficients are ten
        layer = smplx.SMPL(model_path="", data_struct=Struct(**{name: stored[name] for name in FIELDS}), num_betas=10)
    arrays = {name: buffer.numpy() for name, buffer in layer.named_buffers()}
    num_vertices = len(arrays["v_template"])
    ids = {ours: vertex_ids["smplh"][theirs] for ours, theirs in SMPLX_NAMES.items()}
    if num_vertices <= max(ids.values()):
        raise DiffoptError(f"{path}: {num_vertices} vertices, expected SMPL's 6890.")
    if keypoint_regressor is None:
        surface = _fitted_regressor(arrays, ids)
    else:
        surface = _vertex_rows(ids, num_vertices)
        given = read_keypoint_regressor(keypoint_regressor, num_vertices)
        surface[: len(given)] = given
    return BodyArrays(
        name="smpl",
        v_template=arrays["v_template"],
        shapedirs=arrays["shapedirs"][..., :10],
        # smplx keeps them as (207, 3V).
        posedirs=rearrange(arrays["posedirs"], "number (vertex xyz) -> vertex xyz number", xyz=3),
        joint_regressor=arrays["J_regressor"],
        lbs_weights=arrays["lbs_weights"],
        faces=arrays["faces_tensor"],
        surface_regressor=surface,
    )


def _vertex_rows(ids: dict[str, int], num_vertices: int) -> Float[ndarray, "23 V"]:
    rows = np.zeros((len(SURFACE_NAMES), num_vertices))
    rows[[SURFACE_NAMES.index(name) for name in ids], list(ids.values())] = 1.0
    return rows


def _fitted_regressor(arrays: dict[str, ndarray], ids: dict[str, int]) -> Float[ndarray, "23 V"]:
    free, template = read_free_body(), arrays["v_template"].astype(np.float64)
    joints = arrays["J_regressor"] @ template
    registered = register(free, template, arrays["faces_tensor"], joints, ids)
    rows = _vertex_rows(ids, len(template))
    for row in np.flatnonzero(rows.sum(axis=1) == 0):
        rows[row] = transfer(free.surface_regressor[row], registered, template)
    return rows


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        return load_npz(path)
    contents = load_pickle(path)
    if not isinstance(contents, dict):
        raise DiffoptError(f"{path}: holds a {type(contents).__name__}, expected SMPL's dictionary.")
    return {name: plain(value) for name, value in contents.items()}
