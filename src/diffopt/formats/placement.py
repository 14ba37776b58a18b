"""From a file's parameters to bodies in the camera frame with their pelvis where the file has it, one per frame."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation, Slerp

from diffopt.body.keypoints import LANDMARK_NAMES
from diffopt.body.model import BodyModel
from diffopt.formats.parts import REST_PELVIS_M, Body, Camera, Lens

HIPS = [LANDMARK_NAMES.index(name) for name in ("left_hip", "right_hip")]


@dataclass(frozen=True)
class Placed:
    """Bodies over N frames: pose, orientation and the pelvis joint's position, in one frame of reference."""

    frames: Int[ndarray, "N"]
    body_pose: Float[ndarray, "N 23 3 3"]
    global_orient: Float[ndarray, "N 3 3"]
    pelvis: Float[ndarray, "N 3"]
    betas: Float[ndarray, "10"]

    def __getitem__(self, rows: slice | ndarray) -> "Placed":
        return Placed(self.frames[rows], self.body_pose[rows], self.global_orient[rows], self.pelvis[rows], self.betas)


def rest_pelvis(body: Body, model: BodyModel) -> Float[ndarray, "3"]:
    """Where the pelvis is in the family's rest pose, metres: exact with SMPL's file, else the mean shape's."""
    if body.family == "smpl" and model.name == "smpl" and (body.own is None or body.own[0] == "smpl"):
        return model.rest_joints(torch.as_tensor(body.betas).float())[0].double().numpy()
    return np.array(REST_PELVIS_M[body.family])


def shape_for(body: Body, model: BodyModel) -> Float[ndarray, "10"]:
    """The betas where they mean something to the body that is used, the mean shape where not."""
    if body.own is not None:
        return body.own[1] if body.own[0] == model.name else np.zeros(10)
    return body.betas if body.family == "smpl" and model.name == "smpl" else np.zeros(10)


def place_bodies(body: Body, frames: Int[ndarray, "N"], model: BodyModel) -> Placed:
    """The body with its pelvis found from whatever the file's position is of."""
    placed = Placed(frames, body.body_pose, body.global_orient, body.position, shape_for(body, model))
    if body.anchor == "transl":
        return replace(placed, pelvis=body.position + rest_pelvis(body, model))
    if body.anchor == "hips":
        hips = posed_landmarks(placed, model)[:, HIPS].mean(axis=1)
        return replace(placed, pelvis=body.position - (hips - body.position))
    return placed


def _posed(placed: Placed, model: BodyModel) -> tuple[torch.Tensor, ...]:
    betas = torch.as_tensor(placed.betas).float()
    transl = torch.as_tensor(placed.pelvis).float() - model.rest_joints(betas)[0]
    rotations = (torch.as_tensor(values).float() for values in (placed.body_pose, placed.global_orient))
    return (*rotations, transl, betas)


def posed_landmarks(placed: Placed, model: BodyModel) -> Float[ndarray, "N 47 3"]:
    """Joints and surface keypoints, metres."""
    with torch.no_grad():
        return model.landmarks(*_posed(placed, model)).double().numpy()


def posed_vertices(placed: Placed, model: BodyModel) -> Float[ndarray, "N V 3"]:
    """The mesh, metres; meant for a few frames."""
    with torch.no_grad():
        return model.vertices(*_posed(placed, model)).double().numpy()


def to_camera_frame(placed: Placed, camera: Camera) -> Placed:
    """Bodies of the camera's world in the camera frame."""
    rows = np.searchsorted(camera.frames, placed.frames)
    rotation, translation = camera.rotation_w2c[rows], camera.translation_w2c[rows]
    pelvis = np.einsum("nij,nj->ni", rotation, placed.pelvis) + translation
    return replace(placed, global_orient=rotation @ placed.global_orient, pelvis=pelvis)


def camera_between(in_camera: Placed, in_world: Placed) -> tuple[Float[ndarray, "N 3 3"], Float[ndarray, "N 3"]]:
    """World-to-camera from the same body in both frames: R = R_c R_w^T, t = pelvis_c - R pelvis_w."""
    rotation = in_camera.global_orient @ np.swapaxes(in_world.global_orient, -1, -2)
    return rotation, in_camera.pelvis - np.einsum("nij,nj->ni", rotation, in_world.pelvis)


def through_lens(placed: Placed, old: Lens, new: Lens) -> Placed:
    """The body for another lens: as large and in the same place in the image, so further away for a longer one."""
    ratio = (new.focal_px / old.focal_px)[:, None]
    pixels = old.focal_px[:, None] * placed.pelvis[:, :2] / placed.pelvis[:, 2:] + old.center_px
    depth = placed.pelvis[:, 2:] * ratio
    return replace(
        placed, pelvis=np.concatenate([(pixels - new.center_px) * depth / new.focal_px[:, None], depth], axis=1)
    )


def fill_gaps(placed: Placed, num_frames: int) -> tuple[Placed, Bool[ndarray, "T"]]:
    """Every frame of the video: gaps interpolated, ends held; and where the person was seen."""
    seen = np.zeros(num_frames, bool)
    seen[placed.frames] = True
    return (
        Placed(
            frames=np.arange(num_frames),
            body_pose=np.stack(
                [fill_rotations(placed.frames, placed.body_pose[:, joint], num_frames) for joint in range(23)], axis=1
            ),
            global_orient=fill_rotations(placed.frames, placed.global_orient, num_frames),
            pelvis=fill_vectors(placed.frames, placed.pelvis, num_frames),
            betas=placed.betas,
        ),
        seen,
    )


def fill_vectors(frames: Int[ndarray, "N"], values: Float[ndarray, "N D"], count: int) -> Float[ndarray, "count D"]:
    """Linear between the known rows, held outside of them."""
    return np.stack([np.interp(np.arange(count), frames, column) for column in values.T], axis=1)


def fill_rotations(
    frames: Int[ndarray, "N"], values: Float[ndarray, "N 3 3"], count: int
) -> Float[ndarray, "count 3 3"]:
    """Along the shortest turn between the known rows, held outside of them."""
    if len(frames) == 1:
        return np.repeat(values, count, axis=0)
    times = np.clip(np.arange(count), frames[0], frames[-1])
    return Slerp(frames, Rotation.from_matrix(values))(times).as_matrix()
