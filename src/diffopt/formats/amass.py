"""AMASS `.npz`: SMPL-H in a world with z up.

`poses` (T, 156) axis-angle: root, 21 body joints, 30 finger joints (straight); `trans` smplx's `transl`; `betas` (16,);
`mocap_framerate`. Takes are read by `mocap.amass`. A free body's motion is written with SMPL's mean shape, its pelvis
where it was. No camera.
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.mocap.amass import Z_UP_TO_Y_UP
from diffopt.result.result import Result

_Y_UP_TO_Z_UP = Z_UP_TO_Y_UP.double().numpy().T
_JOINTS, _BETAS = 52, 16


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion; a file that is there is replaced once the new one is complete."""
    motion = parameters_of(result, body)
    poses = np.zeros((result.num_frames, _JOINTS, 3))
    poses[:, 0] = Rotation.from_matrix(_Y_UP_TO_Z_UP @ Rotation.from_rotvec(motion.orient_w).as_matrix()).as_rotvec()
    poses[:, 1:BODY_JOINTS] = motion.body_pose[:, : BODY_JOINTS - 1]
    with partial_file(path) as partial, open(partial, "wb") as stream:
        np.savez_compressed(
            stream,
            poses=poses.reshape(-1, 3 * _JOINTS),
            trans=motion.pelvis_w @ _Y_UP_TO_Z_UP.T - motion.rest_pelvis["smpl"],
            betas=np.pad(motion.smpl_betas, (0, _BETAS - 10)),
            gender=np.asarray("neutral"),
            mocap_framerate=np.asarray(result.fps),
            **motion.own,
        )
    return path
