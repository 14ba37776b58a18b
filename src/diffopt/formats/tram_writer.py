"""TRAM's folder: `camera.npy` and `hps/hps_track_0.npy`.

`pred_cam_R`, `pred_cam_T` camera-to-world with the first camera as the world, `world_cam_R`, `world_cam_T` the same
camera in the result's world (y up); SMPL rotation matrices and `transl` in the camera frame. One lens: the median.
"""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.files.atomic import partial_file
from diffopt.formats.parameters import parameters_of
from diffopt.result.result import Result


def write_tram(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the folder; files of these names that are there are replaced, each once the new one is complete."""
    motion = parameters_of(result, body)
    count = result.num_frames
    to_first = motion.rotation_c2w[0].T
    focal = float(np.median(result.focal_px))
    camera = {
        "pred_cam_R": (to_first @ motion.rotation_c2w).astype(np.float32),
        "pred_cam_T": ((motion.centers - motion.centers[0]) @ to_first.T).astype(np.float32),
        "world_cam_R": motion.rotation_c2w.astype(np.float32),
        "world_cam_T": motion.centers.astype(np.float32),
        "img_focal": np.float64(focal),
        "img_center": np.median(result.center_px, axis=0).astype(np.float64),
        "spec_focal": np.float64(focal),
        **motion.own,
    }
    rotvec = np.concatenate([motion.orient_c[:, None], motion.body_pose], axis=1)
    rotations = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(count, 24, 3, 3)
    track = {
        "pred_rotmat": torch.from_numpy(rotations).float(),
        "pred_shape": torch.from_numpy(motion.smpl_betas).float().repeat(count, 1),
        "pred_trans": torch.from_numpy(motion.transl_c("smpl")).float()[:, None],
        "frame": torch.arange(count),
        **motion.own,
    }
    for name, content in (("camera.npy", camera), ("hps/hps_track_0.npy", track)):
        with partial_file(path / name) as partial, open(partial, "wb") as stream:
            np.save(stream, np.array(content, dtype=object), allow_pickle=True)
    return path
