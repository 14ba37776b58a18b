"""Reads a keypoint regressor of SMPL's mesh as others publish it: rows of weights over the vertices."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from diffopt.errors import DiffoptError
from diffopt.files.unpickle import load_npy, load_npz, load_pickle, plain
from diffopt.observation.keypoint_sets import COCO17, SURFACE_NAMES

_SUM_TOLERANCE = 0.01
_MEND = "Give the file that belongs to your SMPL file's mesh, or leave `body.keypoint_regressor` out."


def read_keypoint_regressor(path: Path, num_vertices: int) -> Float[ndarray, "K V"]:
    """The rows of a `.npy`, or the one array of a `.npz` or a pickle (dense or sparse).

    Args:
        path: the file.
        num_vertices: V of the mesh that it is for.

    Returns:
        17 rows in COCO's order, or 23 with the six of the feet behind (`SURFACE_NAMES`). A row's sum is made exactly 1,
        or the keypoint would shrink towards the world's origin.

    Raises:
        DiffoptError: the file is missing or would run code, or what it holds is no such regressor.
    """
    rows = _only_array(path)
    counts = (len(COCO17), len(SURFACE_NAMES))
    if rows.ndim != 2 or rows.shape[0] not in counts or rows.shape[1] != num_vertices:
        feet = ", ".join(SURFACE_NAMES[len(COCO17) :])
        raise DiffoptError(
            f"{path}: body.keypoint_regressor has the shape {rows.shape}, expected ({counts[0]}, {num_vertices}), "
            f"COCO's keypoints in its order, or ({counts[1]}, {num_vertices}) with {feet} behind. "
            "Save those rows alone, with numpy.save."
        )
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise DiffoptError(
            f"{path}: body.keypoint_regressor holds numbers that are not finite in row {row} ({SURFACE_NAMES[row]}), "
            f"expected weights. {_MEND}"
        )
    sums = rows.sum(axis=1, keepdims=True)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row, 0] - 1) > _SUM_TOLERANCE:
        raise DiffoptError(
            f"{path}: body.keypoint_regressor has weights of row {row} ({SURFACE_NAMES[row]}) that sum to "
            f"{sums[row, 0]:.4g}, expected 1. {_MEND}"
        )
    return rows / sums


def _only_array(path: Path) -> ndarray:
    contents = {".npy": load_npy, ".npz": load_npz}.get(path.suffix, load_pickle)(path)
    if isinstance(contents, dict):
        if len(contents) != 1:
            raise DiffoptError(
                f"{path}: holds {', '.join(map(str, contents)) or 'nothing'}, expected one array, the regressor. "
                "Save it alone, with numpy.save."
            )
        (contents,) = contents.values()
    try:
        return np.asarray(plain(contents), dtype=np.float64)
    except (TypeError, ValueError):
        raise DiffoptError(
            f"{path}: holds a {type(contents).__name__}, expected the regressor's array of numbers. "
            "Save it with numpy.save."
        ) from None
