"""AMASS: SMPL-H or SMPL-X parameters in a world with z up."""

from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip, floor_height, kind_of, pose

Z_UP_TO_Y_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def read_amass(path: str | Path, offsets: Float[Tensor, "J 3"] | None = None) -> MotionClip:
    """One AMASS take (SMPL-H or SMPL-X layout: `poses` (T, 3J) axis-angle, `trans` (T, 3), z up).

    Args:
        path: the `.npz`; subject and name are taken from its folder and its stem, as AMASS lays them out.
        offsets: rest skeleton with the rest pelvis position in row 0, metres (`BodyModel.skeleton`); without it the
            average adult of `AVERAGE_OFFSETS`, whose bones differ from the take's own by some per cent.
    """
    path = Path(path)
    with np.load(path, allow_pickle=False) as take:
        rates = [key for key in ("mocap_framerate", "mocap_frame_rate") if key in take.files]
        if "poses" not in take.files or "trans" not in take.files or not rates:
            raise DiffoptError(
                f"{path}: no AMASS motion, its keys are {take.files}. Expected poses, trans, mocap_framerate."
            )
        poses, trans, fps = take["poses"], take["trans"], float(take[rates[0]])
    skeleton = AVERAGE_OFFSETS if offsets is None else offsets[:BODY_JOINTS].float()
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(poses[:, : 3 * BODY_JOINTS]).float().reshape(-1, BODY_JOINTS, 3))
    rotations[:, 0] = Z_UP_TO_Y_UP @ rotations[:, 0]
    # smplx's trans is added to the rest pelvis, which the root's rotation does not move.
    root = (skeleton[0] + torch.from_numpy(trans).float()) @ Z_UP_TO_Y_UP.T
    bones = torch.cat((torch.zeros(1, 3), skeleton[1:]))
    root[:, 1] -= floor_height(pose(rotations, root, bones))
    return MotionClip(path.stem, path.parent.name, kind_of(root, fps), fps, rotations, root, bones)
