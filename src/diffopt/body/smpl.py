"""Reads the user's licensed SMPL model through smplx: the only place that imports it."""

import contextlib
import io
from pathlib import Path

import numpy as np
import smplx
from einops import rearrange
from smplx.utils import Struct
from smplx.vertex_ids import vertex_ids

from diffopt.body.arrays import BodyArrays, surface_from_vertices
from diffopt.errors import DiffoptError
from diffopt.files.unpickle import load_pickle, plain

FIELDS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
# smplx's names for the vertices that it appends as joints, by our names.
_VERTEX_NAMES = {
    "nose": "nose", "left_eye": "leye", "right_eye": "reye", "left_ear": "lear", "right_ear": "rear",
    "left_big_toe": "LBigToe", "right_big_toe": "RBigToe", "left_small_toe": "LSmallToe",
    "right_small_toe": "RSmallToe", "left_heel": "LHeel", "right_heel": "RHeel",
}  # fmt: skip


def read_smpl(path: Path) -> BodyArrays:
    """A SMPL model from its official `.pkl` (v1.0 or v1.1, chumpy not needed) or a `.npz` with the same keys.

    Raises:
        DiffoptError: the file is missing, not a SMPL model, or a pickle that would run code.
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
    ids = {ours: vertex_ids["smplh"][theirs] for ours, theirs in _VERTEX_NAMES.items()}
    if num_vertices <= max(ids.values()):
        raise DiffoptError(f"{path}: {num_vertices} vertices, expected SMPL's 6890.")
    surface_regressor, surface_joint = surface_from_vertices(ids, num_vertices)
    return BodyArrays(
        name="smpl",
        v_template=arrays["v_template"],
        shapedirs=arrays["shapedirs"][..., :10],
        # smplx keeps them as (207, 3V).
        posedirs=rearrange(arrays["posedirs"], "number (vertex xyz) -> vertex xyz number", xyz=3),
        joint_regressor=arrays["J_regressor"],
        lbs_weights=arrays["lbs_weights"],
        faces=arrays["faces_tensor"],
        surface_regressor=surface_regressor,
        surface_joint=surface_joint,
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".npz":
        contents = load_pickle(path)
        if not isinstance(contents, dict):
            raise DiffoptError(f"{path}: holds a {type(contents).__name__}, expected SMPL's dictionary.")
        return {name: plain(value) for name, value in contents.items()}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)
    except FileNotFoundError:
        raise DiffoptError(f"{path}: no such file. `body.model` takes `free` or the path of a SMPL file.") from None
    except ValueError as error:
        raise DiffoptError(f"{path}: cannot be read as plain arrays ({error}).") from error
