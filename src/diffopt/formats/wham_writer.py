"""WHAM's `wham_output.pkl`: a dictionary by person, which joblib and pickle both read.

`trans` is smplx's `transl` in the camera frame, `trans_world` the point midway between the hips in a world with y up.
The camera-frame position is for the result's own lens (kept in an entry beside); WHAM's programs assume a focal length
of the image's diagonal. `verts` are left out: they follow from the parameters.
"""

import pickle
from pathlib import Path

import numpy as np
import torch

from diffopt.body.model import BodyModel
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.formats.place import HIPS
from diffopt.motion.motion import Motion
from diffopt.result.result import Result


def write_wham(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion; a file that is there is replaced once the new one is complete."""
    motion = parameters_of(result, body)
    posed = Motion.from_axis_angle(
        *(torch.as_tensor(values).float() for values in (result.body_pose, result.global_orient, result.transl))
    )
    with torch.no_grad():
        landmarks = body.landmarks(
            posed.body_pose, posed.global_orient, posed.transl, torch.as_tensor(result.betas).float()
        )
    body_pose = motion.body_pose.reshape(result.num_frames, -1)
    person = {
        "pose": np.concatenate([motion.orient_c, body_pose], axis=1).astype(np.float32),
        "trans": motion.transl_c("smpl").astype(np.float32),
        "pose_world": np.concatenate([motion.orient_w, body_pose], axis=1).astype(np.float32),
        "trans_world": landmarks[:, HIPS].mean(dim=1).numpy(),
        "betas": np.tile(motion.smpl_betas.astype(np.float32), (result.num_frames, 1)),
        "frame_ids": np.arange(result.num_frames),
        **motion.own,
    }
    with partial_file(path) as partial:
        partial.write_bytes(pickle.dumps({0: person}, protocol=4))
    return path
