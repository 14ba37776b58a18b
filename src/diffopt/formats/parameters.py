"""A result's motion as other tools write theirs: in the world and in the camera frame, with their rest pelvis."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.formats.own import own_entries
from diffopt.formats.parts import REST_PELVIS_M
from diffopt.result.result import Result


@dataclass(frozen=True)
class Parameters:
    """Everything in double precision; rotations are axis-angle vectors, radians; positions metres."""

    body_pose: Float[ndarray, "T 23 3"]
    orient_w: Float[ndarray, "T 3"]
    orient_c: Float[ndarray, "T 3"]
    pelvis_w: Float[ndarray, "T 3"]
    pelvis_c: Float[ndarray, "T 3"]
    smpl_betas: Float[ndarray, "10"]
    """SMPL's; the mean shape where the motion is the free body's, whose betas mean something else."""
    rest_pelvis: dict[str, Float[ndarray, "3"]]
    """By body family: what to subtract from the pelvis for that family's `transl`."""
    rotation_c2w: Float[ndarray, "T 3 3"]
    centers: Float[ndarray, "T 3"]
    own: dict[str, Any]
    """Entries for what the layouts have no place for."""

    def transl_w(self, family: str) -> Float[ndarray, "T 3"]:
        return self.pelvis_w - self.rest_pelvis[family]

    def transl_c(self, family: str) -> Float[ndarray, "T 3"]:
        return self.pelvis_c - self.rest_pelvis[family]


def parameters_of(result: Result, body: BodyModel) -> Parameters:
    """The result's motion and camera, ready to be written."""
    rest = body.rest_joints(torch.as_tensor(result.betas).float())[0].double().numpy()
    rotation = result.rotation_w2c.astype(np.float64)
    translation = result.translation_w2c.astype(np.float64)
    c2w = rotation.swapaxes(-1, -2)
    pelvis = result.transl.astype(np.float64) + rest
    orient = Rotation.from_rotvec(result.global_orient.astype(np.float64)).as_matrix()
    is_smpl = result.body_model == "smpl"
    families = {name: np.array(place) for name, place in REST_PELVIS_M.items()}
    return Parameters(
        body_pose=result.body_pose.astype(np.float64),
        orient_w=result.global_orient.astype(np.float64),
        orient_c=Rotation.from_matrix(rotation @ orient).as_rotvec(),
        pelvis_w=pelvis,
        pelvis_c=np.einsum("tij,tj->ti", rotation, pelvis) + translation,
        smpl_betas=result.betas.astype(np.float64) if is_smpl else np.zeros(10),
        rest_pelvis=families | ({"smpl": rest} if is_smpl else {}),
        rotation_c2w=c2w,
        centers=-np.einsum("tij,tj->ti", c2w, translation),
        own=own_entries(
            result.body_model, result.betas, result.fps, result.image_size_px, result.focal_px, result.center_px
        ),
    )
