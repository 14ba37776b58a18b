"""DROID-SLAM's and DPVO's (N, 7) arrays and TUM trajectories: the camera's path.

Convention: camera-to-world, [x y z, qx qy qz qw], the scalar last; scale unknown; OpenCV axes; the first camera is the
world. TUM puts the time in front: whole numbers are frames, others seconds. No intrinsics. `.npy`, `.pt`, joblib, text.

Written: TUM's text, in seconds, in the result's world (y up, metres).
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.formats.parts import Camera, Contents, inverse
from diffopt.result.result import Result

_FLIPPED_DEG = 150.0
"""A first camera that is turned this far from its own world is no first camera."""


def matches(content: Any) -> bool:
    """A table of 7 columns, or 8 with the time."""
    return (
        isinstance(content, ndarray) and content.dtype.kind == "f" and content.ndim == 2 and content.shape[1] in (7, 8)
    )


def parse(content: Any) -> Contents:
    """The camera, world-to-camera.

    Raises:
        DiffoptError: the quaternions are not where or not in the order that they must be.
    """
    frames, fps = np.arange(len(content)), None
    poses = np.asarray(content, np.float64)
    if poses.shape[1] == 8:
        frames, fps = _frames_of_times(poses[:, 0])
        poses = poses[:, 1:]
    _check_quaternions(poses)
    rotation, translation = inverse(Rotation.from_quat(poses[:, 3:]).as_matrix(), poses[:, :3])
    camera = Camera(frames, rotation, translation, scale="unknown")
    return Contents(camera=camera, fps=fps, num_frames=int(frames[-1]) + 1)


def _frames_of_times(times: Float[ndarray, "N"]) -> tuple[ndarray, float | None]:
    if (np.diff(times) <= 0).any():
        raise DiffoptError("times do not rise; expected a TUM trajectory with its rows in order of time; sort them.")
    if np.allclose(times, np.round(times), atol=1e-6):
        return np.round(times).astype(int), None
    step = float(np.median(np.diff(times)))
    return np.round((times - times[0]) / step).astype(int), 1 / step


def _check_quaternions(poses: Float[ndarray, "N 7"]) -> None:
    def is_unit(columns: ndarray) -> bool:
        return bool(np.allclose(np.linalg.norm(columns, axis=1), 1, atol=1e-2))

    if not is_unit(poses[:, 3:]):
        found = (
            "the first four columns are of length 1, so the quaternion comes first"
            if is_unit(poses[:, :4])
            else f"their lengths go from {np.linalg.norm(poses[:, 3:], axis=1).min():.3g} to "
            f"{np.linalg.norm(poses[:, 3:], axis=1).max():.3g}"
        )
        raise DiffoptError(
            f"the last four columns are no quaternions: {found}; expected [x y z, qx qy qz qw]; put the columns in "
            "this order."
        )
    as_read = np.degrees(Rotation.from_quat(poses[0, 3:]).magnitude())
    swapped = np.degrees(Rotation.from_quat(poses[0, [4, 5, 6, 3]]).magnitude())
    if as_read > _FLIPPED_DEG and swapped < 180 - _FLIPPED_DEG:
        raise DiffoptError(
            f"swapped quaternion order: the first camera is turned by {as_read:.0f} degrees from the world that it "
            f"should be, but by {swapped:.0f} if the scalar comes first (qw qx qy qz); expected qx qy qz qw; move the "
            "scalar to the end."
        )


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the camera as a TUM trajectory; a file that is there is replaced once the new one is complete."""
    motion = parameters_of(result, body)
    quaternions = Rotation.from_matrix(motion.rotation_c2w).as_quat(canonical=True)
    seconds = np.arange(result.num_frames) / result.fps
    with partial_file(path) as partial:
        np.savetxt(
            partial,
            np.column_stack([seconds, motion.centers, quaternions]),
            fmt="%.9f",
            header="timestamp tx ty tz qx qy qz qw",
        )
    return path
