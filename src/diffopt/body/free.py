"""Reads the embedded free body: SMPL's format, our own topology, no licence to sign (see NOTICE)."""

from importlib.resources import as_file, files

import numpy as np

from diffopt.body.arrays import BodyArrays
from diffopt.observation.keypoint_sets import SURFACE_NAMES


def _dense(indices: np.ndarray, values: np.ndarray, width: int) -> np.ndarray:
    """Rows of (column, value) pairs as a full matrix whose rows sum to one."""
    matrix = np.zeros((len(indices), width))
    np.put_along_axis(matrix, indices.astype(np.int64), values.astype(np.float64), axis=1)
    return matrix / matrix.sum(axis=1, keepdims=True)


def read_free_body() -> BodyArrays:
    """The body that ships with diffopt, built by `scripts/build_free_body.py`.

    Its betas are its own; its poses agree with SMPL's to a few degrees.
    """
    with as_file(files("diffopt.body") / "assets" / "free_body.npz") as path, np.load(path) as stored:
        names = tuple(stored["kp_names"].tolist())
        if names != SURFACE_NAMES:
            raise ValueError(f"{path}: surface keypoints are {names}, expected {SURFACE_NAMES}; rebuild the asset.")
        num_vertices = len(stored["v_template"])
        return BodyArrays(
            name="free",
            v_template=stored["v_template"].astype(np.float64),
            shapedirs=stored["shapedirs"].astype(np.float64),
            posedirs=None,
            joint_regressor=_dense(stored["J_regressor_idx"], stored["J_regressor_val"], num_vertices),
            lbs_weights=_dense(stored["weights_idx"], stored["weights_val"], 24),
            faces=stored["f"].astype(np.int64),
            surface_regressor=_dense(stored["kp_idx"], stored["kp_val"], num_vertices),
        )
