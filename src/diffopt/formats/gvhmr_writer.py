"""GVHMR's `hmr4d_results.pt`: SMPL-X parameters in the camera frame and in a world with y up, and the lens.

SMPL-X has other betas: its mean shape is written, with the pelvis where it was. The camera is the one between the two.
"""

from pathlib import Path

import numpy as np
import torch
from numpy import ndarray

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.result.result import Result


def write_gvhmr(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion; a file that is there is replaced once the new one is complete."""
    motion = parameters_of(result, body)
    count = result.num_frames
    body_pose = motion.body_pose[:, : BODY_JOINTS - 1].reshape(count, -1)

    def params(orient: ndarray, transl: ndarray) -> dict[str, torch.Tensor]:
        values = {"body_pose": body_pose, "betas": np.zeros((count, 10)), "global_orient": orient, "transl": transl}
        return {name: torch.from_numpy(value).float() for name, value in values.items()}

    lens = np.tile(np.eye(3), (count, 1, 1))
    lens[:, 0, 0] = lens[:, 1, 1] = result.focal_px
    lens[:, :2, 2] = result.center_px
    content = {
        "smpl_params_global": params(motion.orient_w, motion.transl_w("smplx")),
        "smpl_params_incam": params(motion.orient_c, motion.transl_c("smplx")),
        "K_fullimg": torch.from_numpy(lens).float(),
        **{name: torch.as_tensor(value) if isinstance(value, ndarray) else value for name, value in motion.own.items()},
    }
    with partial_file(path) as partial:
        torch.save(content, partial)
    return path
