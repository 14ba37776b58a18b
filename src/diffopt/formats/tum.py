"""The camera's path as a TUM trajectory: lines of `seconds x y z qx qy qz qw`, camera-to-world, metres, world y up."""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.result.result import Result


def write_tum(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the camera; a file that is there is replaced once the new one is complete."""
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
