"""TRAM: `camera.npy`, `hps/hps_track_k.npy`, `tracks.npy` (and the same two dictionaries as `.npz`, as for EMDB).

Convention: `pred_cam_R`, `pred_cam_T` camera-to-world in metres, the first camera is the world; `world_cam_R`,
`world_cam_T` the same camera in a world turned y up by one network's guess from the first image (not taken as known
gravity). `img_focal`, `img_center` of the full frame. Bodies: SMPL rotation matrices and smplx's `transl`
(`pred_trans`) in the camera frame, `frame` the rows' frames. `.npy` files are pickles, some with torch tensors inside.

Written: `world_cam_R`, `world_cam_T` in the result's world (y up). One lens: the median.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.files.atomic import partial_file
from diffopt.formats.own import own_notes
from diffopt.formats.parameters import parameters_of
from diffopt.formats.parts import Body, Camera, Contents, Person, constant_lens, inverse, one_shape, proper_rotations
from diffopt.result.result import Result


def matches(content: Any) -> bool:
    """The camera, one track of bodies, or the detector's tracks."""
    if not isinstance(content, dict) or not content:
        return False
    if {"pred_cam_R", "pred_cam_T", "img_focal"} <= content.keys():
        return "people" not in content
    return {"pred_rotmat", "pred_trans", "pred_shape"} <= content.keys() or _is_tracks(content)


def parse(content: Any) -> Contents:
    """One of TRAM's files; give the camera and the track together."""
    if "pred_cam_R" in content:
        return _camera(content)
    return _tracks(content) if _is_tracks(content) else _track(content)


def _is_tracks(content: dict[Any, Any]) -> bool:
    return all(
        isinstance(track, list) and len(track) > 0 and isinstance(track[0], dict) and "det_box" in track[0]
        for track in content.values()
    )


def _camera(content: dict[str, Any]) -> Contents:
    own = own_notes(content)
    c2w = np.asarray(content["pred_cam_R"], np.float64)
    rotation, translation = inverse(proper_rotations(c2w), np.asarray(content["pred_cam_T"], np.float64))
    center = np.asarray(content["img_center"], np.float64).reshape(2)
    lens = own.lens or constant_lens(float(np.asarray(content["img_focal"])), center, len(c2w))
    return Contents(
        camera=Camera(np.arange(len(c2w)), rotation, translation, scale="metric", lens=lens),
        image_size_px=own.image_size_px or (round(2 * center[0]), round(2 * center[1])),
        num_frames=len(c2w),
        fps=own.fps,
    )


def _track(content: dict[str, Any]) -> Contents:
    own = own_notes(content)
    rotations = proper_rotations(np.asarray(content["pred_rotmat"]).reshape(-1, 24, 3, 3))
    person = Person(
        name="0",
        frames=np.asarray(content.get("frame", np.arange(len(rotations)))).astype(int),
        body=Body(
            body_pose=rotations[:, 1:],
            global_orient=rotations[:, 0],
            position=np.asarray(content["pred_trans"], np.float64).reshape(-1, 3),
            betas=one_shape(content["pred_shape"]),
            own=own.body,
        ),
    )
    return Contents(people=(person,), fps=own.fps, image_size_px=own.image_size_px)


def _tracks(content: dict[Any, Any]) -> Contents:
    boxes = []
    for track in content.values():
        seen = [entry for entry in track if bool(np.asarray(entry["det"]))]
        if seen:
            frames = np.asarray([int(entry["frame"]) for entry in seen])
            boxes.append((frames, np.concatenate([np.asarray(entry["det_box"], np.float64)[:, :4] for entry in seen])))
    return Contents(boxes_of_tracks=tuple(boxes))


def write(path: Path, result: Result, body: BodyModel) -> Path:
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
