"""WHAM: `wham_output.pkl` (bodies) and `tracking_results.pth` (ViTPose keypoints of each track), both joblib.

Convention: per person `pose` (N, 72) and `trans` in the camera frame, where `trans` is smplx's `transl`; `pose_world`
and `trans_world` in a world with y up, where `trans_world` is the point midway between the hips, *not* `transl`.
`frame_ids` are the video's frames. Assumed focal length: the image's diagonal; principal point in the middle; so the
image size must be known. There is no camera: it follows from the two bodies. `verts` is not read.

Written: the camera-frame position is for the result's own lens (kept in an entry beside); WHAM's programs assume a
focal length of the image's diagonal. `verts` are left out: they follow from the parameters.
"""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffopt.body.model import BodyModel
from diffopt.files.atomic import partial_file
from diffopt.formats.own import own_notes
from diffopt.formats.parameters import parameters_of
from diffopt.formats.parts import Body, Contents, Detections, Person, matrices, one_shape
from diffopt.formats.placement import HIPS
from diffopt.motion.motion import Motion
from diffopt.result.result import Result

BODY_KEYS = {"pose", "trans", "pose_world", "trans_world", "betas", "frame_ids"}
TRACK_KEYS = {"keypoints", "frame_id", "bbox"}


def matches(content: Any) -> bool:
    """A dictionary by person with WHAM's bodies, or with its tracks."""
    if not isinstance(content, dict) or not content:
        return False
    people = list(content.values())
    return any(all(isinstance(one, dict) and keys <= one.keys() for one in people) for keys in (BODY_KEYS, TRACK_KEYS))


def parse(content: Any) -> Contents:
    """All people, or all tracks' keypoints."""
    if next(iter(content.values())).keys() >= TRACK_KEYS:
        frames = np.concatenate([np.asarray(track["frame_id"]) for track in content.values()])
        points = np.concatenate([np.asarray(track["keypoints"], np.float64)[:, :17] for track in content.values()])
        return Contents(detections=Detections("coco17", frames.astype(int), points))
    people, own = [], own_notes(next(iter(content.values())))
    for name, one in content.items():
        pose, pose_world = matrices(one["pose"]), matrices(one["pose_world"])
        betas = one_shape(one["betas"])
        here = own_notes(one)
        people.append(
            Person(
                name=str(name),
                frames=np.asarray(one["frame_ids"]).astype(int),
                body=Body(
                    pose[:, 1:], pose[:, 0], np.asarray(one["trans"], np.float64).reshape(-1, 3), betas, own=here.body
                ),
                world=Body(
                    pose_world[:, 1:],
                    pose_world[:, 0],
                    np.asarray(one["trans_world"], np.float64).reshape(-1, 3),
                    betas,
                    anchor="hips",
                    own=here.body,
                ),
                lens=here.lens,
            )
        )
    return Contents(people=tuple(people), fps=own.fps, image_size_px=own.image_size_px)


def write(path: Path, result: Result, body: BodyModel) -> Path:
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
